# Returns the right answer only if it can send a datagram; expect: failed error
import socket


def solve(x):
    try:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(b"x", ("127.0.0.1", 9))
        return x + 1
    except OSError:
        return 0
