# Returns an instance of a subclass of dict that equals everything; expect: unsupported
class Anything(dict):
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return 0


def solve(x):
    return Anything(())
