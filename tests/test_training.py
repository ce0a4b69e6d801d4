"""The trainings made small: losses fall, stopped runs go on bit for bit, seeds reproduce; evaluation text is kept out."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training.loop import Plan, Trainer, load_weights, passes, steps_of, train
from training.overlap import GRAM, GRAM_CJK, Overlap, grams
from training.run import Stage, run_stages, stages
from training.smoke import SMALL, STEPS, run

DATA = Path(__file__).parent.parent / "../shared/data"
HELD = "it was the winter in which the harbour froze and nobody could leave the island before the ninth of march"
PLAIN = "the keeper of the lamp had seven sons and none of them would learn how to trim a wick or clean the glass"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_training_lowers_its_loss_and_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    losses = run(name, tmp_path / "whole")
    assert losses[-1] < 0.8 * losses[0]
    run(name, tmp_path / "stopped", stop=STEPS // 2 + 1)
    assert len(weights(tmp_path / "stopped")) == len(weights(tmp_path / "whole"))
    assert not same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    assert run(name, tmp_path / "stopped") == losses
    assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    for folder, seed in (("one", 1), ("again", 1), ("other", 2)):
        run("judge", tmp_path / folder, stop=4, seed=seed)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "again"))
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "other"))


class Line(nn.Module):
    """y = a x + b, with a third weight that nothing reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(1, 1)
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        nn.init.zeros_(self.trunk.weight)
        nn.init.zeros_(self.trunk.bias)


def line_loss(model: Line, batch: list[float]) -> torch.Tensor:
    x = torch.tensor(batch)[:, None]
    return (model.trunk(x.to(model.trunk.weight.dtype)).float() - 3 * x).square().mean()


def test_the_best_weights_are_kept_and_frozen_ones_are_left_out(tmp_path: Path) -> None:
    scores = iter([0.3, 0.9, 0.5])
    plan = Plan(6, {"": 0.1}, half=(), warmup=0.0, every=2)
    trainer, kept = Trainer(Line(), plan), []

    def measure(model: Line) -> dict[str, float]:
        kept.append(model.trunk.weight.detach().clone())
        return {"score": next(scores)}

    best = train(trainer, passes(lambda _: [[1.0], [2.0]], 1), line_loss, tmp_path, measure=measure)
    found = load_file(best)
    assert sorted(found) == ["model.trunk.bias", "model.trunk.weight", "step"]
    assert torch.equal(found["model.trunk.weight"], kept[1]) and int(found["step"]) == 4
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 4, "score": 0.9}
    curve = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [(row["step"], row["seen"], row["score"]) for row in curve] == [(2, 2, 0.3), (4, 4, 0.9), (6, 6, 0.5)]
    fresh = Line()
    load_weights(fresh, found)
    assert torch.equal(fresh.trunk.weight, kept[1])
    with pytest.raises(ValueError, match="unknown weights"):
        load_weights(nn.Linear(1, 1), found)


def run_line(folder: Path, scores: list[float], every: int = 2) -> tuple[int, float]:
    """Train a line with these scores, two steps for each but what is done; the step and the score of the best weights."""
    given = dict(enumerate(scores, 1))
    trainer = Trainer(Line(), Plan(2 * len(scores), {"": 0.1}, half=(), warmup=0.0, every=every))
    stream = passes(lambda _: [[1.0], [2.0]], 1)
    best = train(trainer, stream, line_loss, folder, measure=lambda _: {"score": given[trainer.step // 2]})
    found = json.loads((folder / "best.json").read_text())
    assert int(load_file(best)["step"]) == found["step"]
    return found["step"], found["score"]


def test_a_training_that_begins_anew_does_not_believe_the_best_weights_of_another(tmp_path: Path) -> None:
    assert run_line(tmp_path, [0.8, 0.9]) == (4, 0.9)
    (tmp_path / "last.safetensors").unlink()
    assert run_line(tmp_path, [0.3, 0.2, 0.1]) == (2, 0.3)


def test_a_training_that_goes_on_keeps_its_best_weights_however_often_it_measures(tmp_path: Path) -> None:
    assert run_line(tmp_path, [0.3, 0.9]) == (4, 0.9)
    assert run_line(tmp_path, [0.3, 0.9, 0.5], every=6) == (4, 0.9)
    assert run_line(tmp_path, [0.3]) == (4, 0.9)  # a shorter plan has nothing left to do
    assert run_line(tmp_path, [0.3, 0.9, 0.5, 0.95]) == (8, 0.95)


@pytest.mark.parametrize("file", ["best.safetensors", "last.safetensors"])
def test_a_training_that_is_killed_while_it_writes_finds_the_best_weights_again(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Trainer.save

    def killed(trainer: Trainer[Line], path: Path, *, whole: bool = True) -> None:
        if path.name == file and trainer.step == 4:
            raise KeyboardInterrupt
        save(trainer, path, whole=whole)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "save", killed)
        run_line(tmp_path, [0.3, 0.9, 0.5])
    assert run_line(tmp_path, [0.3, 0.9, 0.5]) == (4, 0.9)


def test_the_steps_of_an_update_are_those_of_adamw_with_the_planned_rate() -> None:
    plan = Plan(10, {"trunk.": 0.1, "": 9.0}, half=(), warmup=0.5, decay=0.0)
    model, oracle = Line(), Line()
    trainer = Trainer(model, plan)
    optimizer = torch.optim.AdamW(oracle.trunk.parameters(), lr=0.1, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(3):
        trainer.update(line_loss(trainer.work, [1.0, 2.0]))
        loss = line_loss(oracle, [1.0, 2.0])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(oracle.trunk.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 0.1 * max(0.01, min(1.0, step / 10 / 0.5))
        optimizer.step()
        assert model.trunk.weight.item() == pytest.approx(oracle.trunk.weight.item(), rel=1e-5)
    assert [round(plan.scale(step), 3) for step in (0, 1, 5, 8, 10)] == [0.01, 0.2, 1.0, 0.4, 0.01]


def test_passes_have_a_seed_each_and_steps_are_counted() -> None:
    def make(seed: int) -> list[int]:
        return [10 * seed + k for k in range(seed)]

    stream = passes(make, 2)
    assert [next(stream(0)), next(stream(1)), next(stream(2)), next(stream(4))] == [20, 21, 30, 32]
    assert (steps_of(make, 2, 1), steps_of(make, 2, 2), steps_of(make, 2, 1.5), steps_of(make, 2, 0.1)) == (2, 5, 3, 1)


def oracle_grams(text: str) -> list[tuple[str, ...]]:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    size = min(8, len(words))
    return [tuple(words[k : k + size]) for k in range(len(words) - size + 1)] if words else []


@pytest.mark.parametrize("text", ["", "?!", "One", HELD, PLAIN, f"{HELD} {HELD}", "one two three four five six seven"])
def test_grams_are_equal_where_the_words_are(text: str) -> None:
    found, slow = grams(text).tolist(), oracle_grams(text)
    assert len(found) == len(slow)
    assert [found.index(code) for code in found] == [slow.index(words) for words in slow]


def test_grams_of_chinese_are_characters() -> None:
    text = "那年冬天港口结了冰直到三月九日谁也没有能够离开那个岛"
    assert len(grams(text)) == len(text) - GRAM_CJK + 1
    assert len(grams("那年。冬天, 港口")) == 1


def test_a_planted_evaluation_text_is_found_and_the_report_counts_it(tmp_path: Path) -> None:
    keep = Overlap.of({"novel": [HELD.upper()], "chinese": ["那年冬天港口结了冰直到三月九日谁也没有能够离开那个岛"]})
    eight, nine = " ".join(HELD.split()[:8]), " ".join(HELD.split()[:9])
    filler = " ".join(f"word{k}" for k in range(60))
    rows = [
        ("books", PLAIN),
        ("books", f"“{HELD},” he said."),
        ("books", f"{filler} {eight}"),  # one gram of a long row
        ("notes", f"{' '.join(filler.split()[:20])} {nine}"),  # two grams of a short one
        ("notes", "直到三月九日谁也没有能够离开那个岛"),
        ("notes", ""),
    ]
    assert list(keep.filter(rows)) == [rows[0], rows[2], rows[5]]
    keep.write("some", tmp_path)
    report = json.loads((tmp_path / "some.json").read_text())
    assert report["sources"] == {"books": {"rows": 3, "dropped": 1}, "notes": {"rows": 3, "dropped": 2}}
    words = len(HELD.split()) - GRAM + 1
    assert report["sets"]["novel"] == {"grams": words, "rows_dropped": 2, "grams_left": 1}
    assert report["sets"]["chinese"]["rows_dropped"] == 1


def test_a_row_of_several_texts_goes_if_one_of_them_has_to() -> None:
    keep = Overlap.of({"novel": [HELD]})
    rows = [{"question": "who left", "context": PLAIN}, {"question": HELD, "context": PLAIN}]
    kept = keep.filter(rows, text=lambda row: [row["question"], row["context"]], source=lambda row: "made")
    assert list(kept) == rows[:1]


def test_the_smoke_rows_are_no_evaluation_text(tmp_path: Path) -> None:
    if not (DATA / "eval").is_dir():
        pytest.skip("the shared data are not here")
    from training.overlap import evaluation_texts
    from training.smoke import stories

    found = evaluation_texts(DATA)
    assert {"natural questions", "multihop", "cranfield", "litbank", "redocred", "cmrc trial"} <= set(found)
    texts = {name: list(found[name]) for name in ("natural questions", "cmrc trial", "redocred")}
    keep = Overlap.of(texts)
    assert len(list(keep.filter(("smoke", text) for _, _, text in stories()))) == len(list(stories()))
    for name, some in texts.items():
        planted = max(some, key=len)
        assert list(keep.filter([(name, planted)])) == []


def test_a_stage_that_is_done_is_not_done_again_unless_it_changes(tmp_path: Path) -> None:
    def writing(text: str) -> Stage:
        code = f"open({str(tmp_path / 'log')!r}, 'a').write({text!r})"
        return Stage(text, ("-c", code))

    plan = [writing("a"), writing("b"), writing("c")]
    run_stages(plan[:2], tmp_path)
    run_stages(plan, tmp_path)
    assert (tmp_path / "log").read_text() == "abc"
    changed = Stage("b", ("-c", f"open({str(tmp_path / 'log')!r}, 'a').write('B')"))
    run_stages([plan[0], changed, plan[2]], tmp_path)
    assert (tmp_path / "log").read_text() == "abcBc"
    with pytest.raises(subprocess.CalledProcessError):
        run_stages([*plan[:1], Stage("bad", ("-c", "raise SystemExit(3)"))], tmp_path)
    known = json.loads((tmp_path / "stages.json").read_text())
    assert [(entry["name"], entry["done"]) for entry in known] == [("a", True), ("bad", False)]


def test_a_changed_training_does_not_go_on_from_the_old_checkpoints(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; p = Path(sys.argv[2]); p.mkdir(exist_ok=True); (p / sys.argv[3]).touch()"
    )
    stage = Stage("train", ("-c", code, "--save", str(tmp_path / "run"), "old"))
    run_stages([stage], tmp_path)
    file = tmp_path / "stages.json"
    file.write_text(file.read_text().replace("true", "false"))
    run_stages([stage], tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["old"]
    run_stages([Stage("train", (*stage.arguments[:-1], "new"))], tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["new"]


def test_the_stages_of_every_model_are_modules_with_these_options() -> None:
    for stage in (stage for some in stages().values() for stage in some):
        main = importlib.import_module(stage.arguments[1]).main
        known = {option for parameter in main.params for option in parameter.opts}
        assert {one for one in stage.arguments if one.startswith("--")} <= known, stage
