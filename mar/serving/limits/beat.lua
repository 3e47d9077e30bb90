-- A sign of life of a worker, and the lapse of what dead ones held; see base.py.
-- KEYS: the list of workers, the prefixes of workers, of their holdings and of counters.
-- ARGV: the worker, its lease in seconds ('' when it leaves), whether it enters ('1').
local workers, prefix, holdings, counters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, lease, enters = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local function lapse(dead)
    local held = redis.call('HGETALL', holdings .. dead)
    for i = 1, #held, 2 do
        local kind, name = string.match(held[i], '^(%a+) (.*)$')
        local amount = held[i + 1]
        if amount ~= '0' and redis.call('EXISTS', counters .. name) == 1 then
            redis.call('HINCRBY', counters .. name, 'held', '-' .. amount)
            if kind == 'hold' then
                redis.call('HINCRBY', counters .. name, 'spent', amount)
                redis.call('HINCRBY', counters .. name, 'uncertain', amount)
            end
        end
    end
    redis.call('DEL', holdings .. dead, prefix .. dead)
    redis.call('ZREM', workers, dead)
end

if lease == '' then
    lapse(id)
    return tostring(now)
end
if enters == '1' then
    redis.call('HSET', prefix .. id, 'number', 0, 'answer', '[]')
    redis.call('ZADD', workers, now + tonumber(lease), id)
end
local ends = redis.call('ZSCORE', workers, id)
local lives = ends and tonumber(ends) > now
if lives then
    redis.call('ZADD', workers, now + tonumber(lease), id)
    local held = redis.call('HGETALL', holdings .. id)
    for i = 1, #held, 2 do
        if held[i + 1] == '0' then
            redis.call('HDEL', holdings .. id, held[i])
        end
    end
end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now)) do
    lapse(dead)
end
if not lives then
    return false
end
return string.format('%.6f', now)
