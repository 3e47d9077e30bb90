# Returns an instance of a subclass of int that equals everything; expect: unsupported
class Anything(int):
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return 0


def solve(x):
    return Anything(0)
