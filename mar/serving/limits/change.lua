-- The rules of base.py, for Redis, which runs a script as one instant. rules.py states them for databases of SQL.
-- KEYS: the worker, its holdings, the prefix of counters. ARGV: the number of the batch, its changes, the time to live
-- of what a worker leaves. Every key begins with {mar}:, so that a cluster keeps all of them on one node.
local worker, holdings, counters = KEYS[1], KEYS[2], KEYS[3]
local number = tonumber(ARGV[1])
local last = redis.call('HGET', worker, 'number')
if not last then
    return false
end
if tonumber(last) >= number then
    return redis.call('HGET', worker, 'answer')
end

local function whole(x)
    return string.format('%.0f', x)
end

local function read(name)
    local found = redis.call('HMGET', counters .. name, 'spent', 'held')
    return tonumber(found[1] or '0'), tonumber(found[2] or '0')
end

local function add(name, field, amount)
    if amount ~= 0 then
        redis.call('HINCRBY', counters .. name, field, whole(amount))
    end
end

local function hold(name, kind, amount)
    if amount ~= 0 then
        redis.call('HINCRBY', holdings, kind .. ' ' .. name, whole(amount))
    end
end

-- A want: name, kind, amount, limit or -1, seconds to live or 0.
local function short(wants)
    for _, want in ipairs(wants) do
        local name, kind, amount, limit = unpack(want)
        if limit >= 0 then
            local spent, held = read(name)
            if kind == 'look' then
                held = 0
            end
            if spent + held + amount > limit then
                local busy = spent + amount <= limit
                return {name, whole(spent), whole(held), busy}
            end
        end
    end
    return cjson.null
end

local function take(wants)
    local refused = short(wants)
    if refused ~= cjson.null then
        return refused
    end
    for _, want in ipairs(wants) do
        local name, kind, amount, _, lives = unpack(want)
        if kind == 'spend' then
            add(name, 'spent', amount)
        elseif kind ~= 'look' then
            add(name, 'held', amount)
            hold(name, kind, amount)
        end
        if lives > 0 and kind ~= 'look' then
            redis.call('EXPIRE', counters .. name, lives, 'NX')
        end
    end
    return cjson.null
end

-- What was paid: name, kind, held, spent, uncertain.
local function settle(paid)
    for _, part in ipairs(paid) do
        local name, kind, held, spent, uncertain = unpack(part)
        if redis.call('EXISTS', counters .. name) == 1 then -- a minute's counter may have been forgotten
            add(name, 'held', -held)
            add(name, 'spent', spent)
            add(name, 'uncertain', uncertain)
        end
        hold(name, kind, -held)
    end
    return cjson.null
end

local verdicts = {}
for i, change in ipairs(cjson.decode(ARGV[2])) do
    if change[1] == 'take' then
        verdicts[i] = take(change[2])
    else
        verdicts[i] = settle(change[2])
    end
end
local answer = cjson.encode(verdicts)
redis.call('HSET', worker, 'number', ARGV[1], 'answer', answer)
return answer
