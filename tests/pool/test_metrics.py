import pytest

from mar.errors import BadReply
from mar.pool.metrics import ServerMetrics, Total, read_metrics

NOW = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 12.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 40.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="m"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 5.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 5.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 2.5
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_count{engine="0",model_name="m"} 35.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="m"} 0.7
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_count{engine="0",model_name="m"} 5.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="m"} 10.0
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 5.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 1.5
# TYPE process_open_fds gauge
process_open_fds 99.0
"""


def test_the_present_names_are_read():
    assert read_metrics(NOW, "m") == ServerMetrics(
        running=3,
        waiting=12,
        kv_cache_usage=0.25,
        ttft=Total(sum=2.5, count=5),
        inter_token=Total(sum=0.7, count=35),
        e2e=Total(sum=10, count=5),
        queue=Total(sum=1.5, count=5),
        prompt_tokens=100,
        generated_tokens=40,
    )


def test_the_names_of_older_servers_are_read_alike():
    old = NOW.replace("kv_cache_usage_perc", "gpu_cache_usage_perc")
    old = old.replace("inter_token_latency_seconds", "time_per_output_token_seconds")
    assert old != NOW
    assert read_metrics(old, "m") == read_metrics(NOW, "m")


def test_engines_of_one_server_add_up_and_shares_are_averaged():
    second = NOW.replace('engine="0"', 'engine="1"').replace("0.25", "0.75")
    second = "\n".join(line for line in second.splitlines() if not line.startswith("#"))
    both = read_metrics(f"{NOW}{second}\n", "m")
    assert (both.running, both.waiting, both.kv_cache_usage) == (6, 24, 0.5)
    assert both.e2e == Total(sum=20, count=10)


def test_other_models_of_the_server_are_left_out():
    other = "\n".join(line for line in NOW.replace('"m"', '"n"').splitlines() if not line.startswith("#"))
    assert read_metrics(f"{NOW}{other}\n", "m") == read_metrics(NOW, "m")


def test_a_server_that_knows_its_model_by_another_name_is_read_as_a_whole():
    assert read_metrics(NOW, "an alias") == read_metrics(NOW, "m")


@pytest.mark.parametrize("text", ["", "<html>not found</html>", "go_threads 3\n", '{"detail": "no"}', "vllm:x{ 1\n"])
def test_what_is_no_such_text_is_refused(text):
    with pytest.raises(BadReply, match="/metrics"):
        read_metrics(text, "m")


def test_a_mean_is_the_growth_of_the_sum_over_the_growth_of_the_count():
    # 4 s more over 8 requests more.
    assert Total(sum=7.0, count=18).mean_since(Total(sum=3.0, count=10)) == 0.5


def test_nothing_new_has_no_mean():
    assert Total(sum=3.0, count=10).mean_since(Total(sum=3.0, count=10)) is None


def test_totals_that_shrank_are_of_a_new_process():
    before = read_metrics(NOW, "m")
    assert ServerMetrics(running=0, waiting=0).restarted_since(before)
    assert not before.restarted_since(before)
    assert Total(sum=0.1, count=1).mean_since(before.e2e) is None


@pytest.mark.parametrize("value", ["+Inf", "NaN", "1e400", "9" * 400])
def test_figures_that_cannot_be_are_unknown(value):
    text = f"vllm:num_requests_running 1\nvllm:num_requests_waiting {value}\n"
    found = read_metrics(text, "m")
    assert (found.running, found.waiting) == (1, None)
