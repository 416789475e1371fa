"""torch.profiler: rows, nesting, schedules, files; torch.utils.benchmark."""

import json

import flambeau as torch
from flambeau.profiler import ProfilerActivity, profile, record_function, schedule
from flambeau.utils import benchmark


def _step(layer):
    with record_function("mine"):
        layer(torch.ones(2, 3)).sum().backward()


def test_rows_and_table():
    layer = torch.nn.Linear(3, 3)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as prof:
        for _ in range(3):
            _step(layer)
    rows = {e.key: e for e in prof.key_averages()}
    assert rows["mine"].count == 3 and rows["mine"].is_user_annotation
    assert rows["SumBackward0"].count == 3
    assert any(k.startswith("flambeau::run") for k in rows)
    assert rows["mine"].cpu_time_total >= rows["mine"].self_cpu_time_total
    text = prof.key_averages().table(sort_by="cpu_time_total", row_limit=5)
    assert "Self CPU time total" in text and "mine" in text
    assert prof.key_averages(group_by_input_shape=True)
    with profile() as other:
        pass
    assert "aten::sum" not in {e.key for e in other.key_averages()}


def test_schedule_and_trace(tmp_path):
    ready = []
    layer = torch.nn.Linear(3, 3)
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=1),
                 on_trace_ready=lambda p: ready.append(p.step_num)) as prof:
        for _ in range(6):
            _step(layer)
            prof.step()
    assert ready == [4]
    assert {e.name for e in prof.events() if e.name.startswith("ProfilerStep")} == {
        "ProfilerStep#2", "ProfilerStep#3"}
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_timer():
    timer = benchmark.Timer("x + 1", setup="import flambeau as torch; x = torch.ones(3)",
                            label="add")
    measurement = timer.timeit(10)
    assert measurement.mean > 0 and "add" in repr(measurement)
    assert timer.blocked_autorange(min_run_time=0.01).median > 0
    assert "add" in str(benchmark.Compare([measurement]))
