# Makes as many files as it can and is right if it gets past the cap; expect: failed error timeout crashed
def solve(x):
    for number in range(200_000):
        open(f"f{number}", "w").close()
    return x + 1
