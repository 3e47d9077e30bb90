"""What a worker takes with it before anybody asks for it."""

import subprocess
import sys


def test_a_worker_loads_no_package_of_what_is_off():
    code = "import sys, mar.serving.run; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert not {"regex", "torch", "scipy", "pandas", "openai", "httpx", "psycopg", "redis"} & set(done.stdout.split())


def test_ids_of_episodes_differ():
    from mar.serving.exchange import AT_ONCE, new_id

    ids = {new_id() for _ in range(3 * AT_ONCE)}
    assert len(ids) == 3 * AT_ONCE
    assert {len(id) for id in ids} == {len("ep_") + 24}
