# Returns a list that contains itself; expect: failed
def solve(x):
    value = [1]
    value.append(value)
    return value
