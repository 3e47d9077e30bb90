# Returns lists that share their parts: small here, 2**60 parts when copied one by one; expect: failed
def solve(x):
    value = [0]
    for _ in range(60):
        value = [value, value]
    return value
