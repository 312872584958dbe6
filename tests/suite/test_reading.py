"""A suite's file: what it gives, and every problem it can have, with its place."""

from __future__ import annotations

import hashlib

import pytest

from fetchbench.environment.tasks import TASKS
from fetchbench.errors import StorageError, SuiteError
from fetchbench.protocol import LEARNER_PRESETS, Scene
from fetchbench.suite import load_suite
from fetchbench.suite.reading import TASK_NAMES

# ruff: noqa: E501

PIXEL_TRACKS = "pixels, pixels-only, pixels-privileged, image-goal"
SORTED_TRACKS = "image-goal, pixels, pixels-only, pixels-privileged"


def head(**changes: str | None) -> str:
    """The top-level fields; ``None`` leaves one out."""
    fields = {"title": '"A test"', "tasks": '["FetchReach-v4"]', "track": '"pixels-only"', "seeds": "[0]"} | changes
    return "\n".join(f"{name} = {value}" for name, value in fields.items() if value is not None)


def test_what_a_suite_holds(load, workspace):
    suite = load(
        head=head(title='"  Two words  "', tasks='["FetchPush-v4", "FetchReach-v4"]', seeds="[7, 3]"),
        scene='marker = "shown"',
    )
    assert (suite.name, suite.title, suite.track) == ("mine", "Two words", "pixels-only")
    assert suite.tasks == ("FetchPush-v4", "FetchReach-v4")
    assert suite.seeds == (7, 3)
    assert suite.scene == Scene(marker="shown")
    assert suite.learner == LEARNER_PRESETS["reach-cpu"]
    assert (suite.budget.steps, suite.budget.checkpoint_every_steps) == (1000, 1000)
    assert (suite.evaluation.every_steps, suite.evaluation.episodes, suite.evaluation.last) == (500, 50, 5)
    assert suite.sha256 == hashlib.sha256((workspace / "suites" / "mine.toml").read_bytes()).hexdigest()


def test_the_scene_may_be_left_out(load):
    assert load().scene == Scene()


def test_a_number_of_seeds(load):
    assert load(head=head(seeds="3")).seeds == (0, 1, 2)


def test_the_task_names_are_those_of_the_environment():
    assert set(TASK_NAMES) == set(TASKS)


def test_the_learners_preset_and_single_fields(load):
    learner = load(learner='preset = "push"\nbatch_size = 64\nlearning_rate = 1e-3\nhidden = [128]').learner
    assert learner == LEARNER_PRESETS["push"].model_copy(update={"batch_size": 64, "learning_rate": 1e-3, "hidden": (128,)})


def test_whole_numbers_stand_for_fractions(load):
    one, other = load(learner='preset = "push"\nupdates_per_step = 1'), load(learner='preset = "push"\nupdates_per_step = 1.0')
    assert one.learner.model_dump_json() == other.learner.model_dump_json()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"title": None}, "title: missing; one line that says what the suite is for"),
        ({"title": '""'}, "title: must be one line of text, not ''"),
        ({"title": "3"}, "title: must be one line of text, not 3"),
        ({"title": r'"one\ntwo"'}, r"title: must be one line of text, not 'one\ntwo'"),
        ({"tasks": None}, "tasks: missing; a list of FetchReach-v4, FetchPush-v4, FetchSlide-v4, FetchPickAndPlace-v4"),
        ({"tasks": "[]"}, "tasks: must be a list of FetchReach-v4, FetchPush-v4, FetchSlide-v4, FetchPickAndPlace-v4, not []"),
        (
            {"tasks": '"FetchReach-v4"'},
            "tasks: must be a list of FetchReach-v4, FetchPush-v4, FetchSlide-v4, FetchPickAndPlace-v4, not 'FetchReach-v4'",
        ),
        (
            {"tasks": '["FetchReach-v4", "FetchPsh-v4"]'},
            "tasks[1]: unknown task 'FetchPsh-v4'; did you mean 'FetchPush-v4'? "
            "Known: FetchPickAndPlace-v4, FetchPush-v4, FetchReach-v4, FetchSlide-v4.",
        ),
        ({"tasks": '["FetchReach-v4", "FetchReach-v4"]'}, "tasks[1]: 'FetchReach-v4' is there already"),
        ({"track": None}, f"track: missing; one of {PIXEL_TRACKS}"),
        ({"track": "3"}, f"track: must be one of {PIXEL_TRACKS}, not 3"),
        (
            {"track": '"pixel"'},
            f"track: unknown track 'pixel'; did you mean 'pixels'? Known: {SORTED_TRACKS}.",
        ),
        ({"track": '"blind"'}, f'track: must be one of {PIXEL_TRACKS}; single methods may set `track = "blind"`'),
        ({"seeds": None}, "seeds: missing; a list of different integers, or how many: `seeds = 5` is 0 to 4"),
        ({"seeds": "0"}, "seeds: must be 1 to 1000 where it says how many, not 0; a single seed is `seeds = [0]`"),
        ({"seeds": "1001"}, "seeds: must be 1 to 1000 where it says how many, not 1001; a single seed is `seeds = [1001]`"),
        ({"seeds": "true"}, "seeds: must be a list of different integers, or how many, not true"),
        ({"seeds": "[]"}, "seeds: must be a list of different integers, or how many, not []"),
        ({"seeds": "[0, 1, 0]"}, "seeds[2]: 0 is there already"),
        ({"seeds": "[-1]"}, "seeds[0]: must be an integer from 0 to 4294967295, not -1"),
        ({"seeds": "[4294967296]"}, "seeds[0]: must be an integer from 0 to 4294967295, not 4294967296"),
        ({"seeds": "[true]"}, "seeds[0]: must be an integer from 0 to 4294967295, not true"),
        ({"seeds": "[1.0]"}, "seeds[0]: must be an integer from 0 to 4294967295, not 1.0"),
        ({"seeds": "[2024-05-01]"}, "seeds[0]: dates and times mean nothing here; put 2024-05-01 in quotes if a text is meant"),
    ],
)
def test_a_wrong_top_level_field(problems_of, changes, problem):
    assert problems_of(head=head(**changes)) == [problem]


def test_a_wrong_track_does_not_make_the_methods_wrong(problems_of):
    [found] = problems_of(head=head(track='"state"'), pixels=None, template=None, methods="[methods.oracle]")
    assert found.startswith("track: must be one of ")


def test_an_unknown_top_level_field(problems_of):
    [problem] = problems_of(head=head(seed="[0]"))
    assert problem.startswith("seed: unknown field 'seed'; did you mean 'seeds'? Known: ")


@pytest.mark.parametrize(
    ("section", "lines", "problem"),
    [
        ("scene", 'camera = "fetch-clos"', "scene.camera: must be 'fetch-close' or 'fetch-default', not 'fetch-clos'; did you mean 'fetch-close'?"),
        ("scene", "marker = true", "scene.marker: must be 'hidden' or 'shown', not true"),
        ("scene", "light = 1", "scene.light: unknown field 'light'; did you mean 'lighting'? Known: camera, lighting, marker."),
        ("pixels", "size = 64", "pixels.preset: missing; one of reach-cpu, push, seed"),
        ("pixels", "preset = 3", "pixels.preset: must be one of reach-cpu, push, seed, not 3"),
        ("pixels", 'preset = "reach"', "pixels.preset: unknown preset 'reach'; did you mean 'reach-cpu'? Known: push, reach-cpu, seed."),
        ("pixels", 'preset = "push"\nsize = 8', "pixels.size: must be 16 to 512, not 8"),
        ("pixels", 'preset = "push"\nsize = 84.0', "pixels.size: must be an integer, not 84.0"),
        ("pixels", 'preset = "push"\nstack = "four"', "pixels.stack: must be an integer, not 'four'"),
        ("pixels", 'preset = "seed"\nsize = 500', "pixels.render_size: must be 500 (size) to 1024, not 480"),
        ("pixels", 'preset = "seed"\nsiz = 64', "pixels.siz: unknown field 'siz'; did you mean 'size'? Known: offsamples, preset, render_size, size, stack."),
        ("learner", "", "learner.preset: missing; one of reach-cpu, push, push-state"),
        ("learner", 'preset = "pusch"', "learner.preset: unknown preset 'pusch'; did you mean 'push'? Known: push, push-state, reach-cpu."),
        ("learner", 'preset = "push"\nbatch_size = 1', "learner.batch_size: must be 2 or more, not 1"),
        ("learner", 'preset = "push"\nbatch_size = 65537', "learner.batch_size: must be 65536 or less, not 65537"),
        ("learner", 'preset = "push"\nbatch_size = true', "learner.batch_size: must be an integer, not true"),
        ("learner", 'preset = "push"\nlearning_rate = 0', "learner.learning_rate: must be more than 0, not 0"),
        ("learner", 'preset = "push"\nlearning_rate = 1.0', "learner.learning_rate: must be less than 1, not 1.0"),
        ("learner", 'preset = "push"\ntarget_entropy = "-4"', "learner.target_entropy: must be a number, not '-4'"),
        ("learner", 'preset = "push"\ntarget_entropy = -inf', "learner.target_entropy: must be a finite number, not -inf"),
        ("learner", 'preset = "push"\nhidden = 256', "learner.hidden: must be a list, not 256"),
        ("learner", 'preset = "push"\nhidden = [256, "a"]', "learner.hidden[1]: must be an integer, not 'a'"),
        ("learner", 'preset = "push"\nlog_std_bounds = [1]', "learner.log_std_bounds[1]: missing"),
        ("learner", 'preset = "push"\nlog_std_bounds = [1, 2, 3]', "learner.log_std_bounds: must be a list of 2, not of 3"),
        ("learner", 'preset = "push"\nentropy = "fix"', "learner.entropy: must be 'learned' or 'fixed', not 'fix'; did you mean 'fixed'?"),
        ("learner", 'preset = "push"\nenvironments = 64', "learner.warmup_steps: 1000, but with 64 environments the first episodes end at step 3200, and updates need a finished one"),
        ("learner", 'preset = "push"\nlog_std_bounds = [2, -20]', "learner.log_std_bounds: (2, -20), but the first must be below the second"),
        ("budget", "", "budget.steps: missing"),
        ("budget", "steps = 99", "budget.steps: must be 100 or more, not 99"),
        ("budget", "steps = { a = 1 }", "budget.steps: must be an integer, not a table"),
        ("evaluation", "every_step = 500\nevery_steps = 500", "evaluation.every_step: unknown field 'every_step'; did you mean 'every_steps'? Known: episodes, every_steps, last."),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_section(problems_of, section, lines, problem):
    assert problems_of(**{section: lines}) == [problem]


def test_what_is_wrong_between_fields_comes_with_what_is_wrong_in_one(problems_of):
    found = problems_of(learner='preset = "push"\nwarmup_steps = 100\nbatch_size = 1')
    assert [problem.partition(": ")[0] for problem in found] == ["learner.batch_size", "learner.warmup_steps"]
    assert found[1].startswith("learner.warmup_steps: 100, but with 4 environments")


def test_an_unknown_field_of_the_learner_lists_those_there_are(problems_of):
    [problem] = problems_of(learner='preset = "push"\nbatchsize = 2')
    assert problem.startswith("learner.batchsize: unknown field 'batchsize'; did you mean 'batch_size'? Known: batch_size, ")
    assert "preset" in problem


@pytest.mark.parametrize("section", ["scene", "pixels", "learner", "budget", "evaluation", "template", "methods"])
def test_a_section_that_is_no_table(problems_of, section):
    without = {section: None} if section != "methods" else {"methods": ""}
    assert f"{section}: must be a table, not 3" in problems_of(head=head(**{section: "3"}), **without)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("learner", "learner.preset: missing; one of reach-cpu, push, push-state"),
        ("budget", "budget.steps: missing"),
        ("evaluation", "evaluation.every_steps: missing"),
        ("pixels", "pixels.preset: missing; methods that see frames need one of reach-cpu, push, seed"),
        ("methods", "methods: missing; name at least one, as in [methods.nature]"),
    ],
)
def test_a_missing_section(problems_of, section, problem):
    assert problems_of(**{section: None}) == [problem]


def test_all_problems_come_at_once(problems_of):
    found = problems_of(
        head=head(tasks='["FetchReach-v3"]', seeds="-1", colour="1"),
        pixels='preset = "push"\nsize = 8\nstack = 17\noffsamples = -1\nrender_size = 2000',
        learner='batch_size = 1\nvector = "raw"',
        budget="checkpoint_every_steps = 1",
        evaluation='every_steps = "often"\nlast = 0',
        template='encoder = "a b"\nrouting = 3',
        methods='[methods.A]\ntrack = "blind"\n[methods.a]\nencoder = "x("\nviews = 9\n[methods.b]\ntrack = "seen"',
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "colour",
        "tasks[0]",
        "seeds",
        "learner.vector",
        "learner.preset",
        "learner.batch_size",
        "budget.steps",
        "budget.checkpoint_every_steps",
        "evaluation.every_steps",
        "evaluation.last",
        "pixels.size",
        "pixels.stack",
        "pixels.offsamples",
        "pixels.render_size",
        "template.encoder",
        "template.routing",
        "methods.A",
        "methods.a.encoder",
        "methods.a.views",
        "methods.b.track",
    ]


def test_the_message_counts_and_names_the_file(load):
    with pytest.raises(SuiteError) as caught:
        load(budget="steps = 1", evaluation="every_steps = 1")
    assert str(caught.value) == (
        "suites/mine.toml: 2 problems\n"
        "  budget.steps: must be 100 or more, not 1\n"
        "  evaluation.every_steps: must be 50 or more, not 1"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title = 'x'\ntasks = = 3\n", "line 2, column 9: not TOML: Invalid value"),
        ("title = 'x'\ntitle = 'y'\n", "line 2, column 12: not TOML: Cannot overwrite a value"),
        ("title = 'x'\ntasks = [1,\n", "line 2: not TOML: Invalid value"),
    ],
)
def test_a_file_that_is_no_toml(write, text, problem):
    write("mine", text)
    with pytest.raises(SuiteError) as caught:
        load_suite("mine")
    assert list(caught.value.problems) == [problem]


def test_a_file_that_is_no_text(write):
    write("mine", "x = 1\n").write_bytes(b"title = 'x'\ntasks = '\xff'\n")
    with pytest.raises(SuiteError, match="line 2: not UTF-8; save the file as UTF-8 text"):
        load_suite("mine")


def test_a_file_that_cannot_be_read(workspace):
    (workspace / "suites" / "mine.toml").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"could not read .*mine\.toml"):
        load_suite("mine")


def test_a_file_name_that_is_no_suites_name(write):
    write("my suite")
    with pytest.raises(SuiteError, match="file name: 'my suite' is no suite's name; use letters and digits"):
        load_suite("my suite")


# -- what is compared -------------------------------------------------------------------------------------------------

TWO = "[methods.a]\n[methods.b]\ntrunk = 3"


def compared(text: str, seeds: str = "2") -> str:
    return f'title = "A test"\ntasks = ["FetchReach-v4"]\ntrack = "pixels-only"\nseeds = {seeds}\n{text}'


def test_baseline_further_seeds_and_contrasts(load):
    suite = load(head=compared('baseline = "a"\nbaseline_seeds = [2, 7]\ncontrasts = [["a", "b"]]'), methods=TWO)
    assert (suite.baseline, suite.baseline_seeds, suite.contrasts) == ("a", (2, 7), (("a", "b"),))
    assert (suite.seeds_of("a"), suite.seeds_of("b")) == ((0, 1, 2, 7), (0, 1))
    assert [(seed, method.name) for seed, method, _ in suite.cells()] == [
        (0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a"), (7, "a"),
    ]  # fmt: skip


def test_without_them_nothing_is_compared(load):
    suite = load()
    assert (suite.baseline, suite.baseline_seeds, suite.contrasts) == (None, (), ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('baseline = "c"', "baseline: unknown method 'c'"),
        ("baseline = 3", "baseline: must be a method's name, not 3"),
        ("baseline_seeds = [5]", "baseline_seeds: means nothing without baseline"),
        ('baseline = "a"\nbaseline_seeds = 5', "baseline_seeds: must be a list of seeds that the baseline runs besides, not 5"),
        ('baseline = "a"\nbaseline_seeds = [1, 2]', "baseline_seeds[0]: 1 is in `seeds` already"),
        ('baseline = "a"\nbaseline_seeds = [2, 2]', "baseline_seeds[1]: 2 is there already"),
        ('baseline = "a"\nbaseline_seeds = [-2]', "baseline_seeds[0]: must be an integer from 0"),
        ('contrasts = "a"', "contrasts: must be a list of pairs of methods"),
        ('contrasts = [["a"]]', "contrasts[0]: must be a pair of methods, not ['a']"),
        ('contrasts = [["a", "a"]]', "contrasts[0]: compares 'a' with itself"),
        ('contrasts = [["a", "c"]]', "contrasts[0][1]: unknown method 'c'"),
        ('contrasts = [["a", "b"], ["b", "a"]]', "contrasts[1]: is there already"),
        (f"contrasts = {[['a', 'b']] * 7}", "contrasts: are 7, and 6 are the most"),
    ],
)
def test_mistakes_in_what_is_compared(problems_of, text, problem):
    [found] = problems_of(head=compared(text.replace("'", '"')), methods=TWO)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"track": '"pixel"'}, "track: unknown track 'pixel'"),
        ({"pixels": 'preset = "reach"'}, "pixels.preset: unknown preset"),
        ({"template": 'encoder = "nature("'}, "template.encoder: "),
        ({"methods": ""}, "methods: missing"),
    ],
)
def test_where_nobody_can_tell_the_methods_no_name_is_unknown(problems_of, sections, problem):
    head = compared('baseline = "critic"\ncontrasts = [["critic", "actor"]]')
    head = head.replace('"pixels-only"', sections.pop("track", '"pixels-only"'))
    [found] = problems_of(**{"head": head, "methods": "[factors]\nrouting = ['critic', 'actor']", **sections})
    assert found.startswith(problem)


def test_a_broken_method_may_be_the_baseline(problems_of):
    head = compared('baseline = "b"\ncontrasts = [["a", "b"]]')
    [found] = problems_of(head=head, methods=TWO.replace("trunk = 3", "trunk = -3"))
    assert found.startswith("methods.b.trunk")
    [found] = problems_of(head=head, methods="[factors.routing]\na = 'critic'\nb = 'critic('")
    assert found.startswith("factors.routing.b")
