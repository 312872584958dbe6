"""``fetchbench plugins``."""

from __future__ import annotations

import json


def test_plugins_and_failures_are_listed(fetchbench, plugin):
    sound, broken = plugin(), plugin("1 / 0", "broken.py")
    answer = fetchbench("plugins", "--plugin", sound, "--plugin", broken, "--plugin", "absent.py")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert any(
        line.split(maxsplit=4) == ["encoder", "mean-colour", "mine.py", "local", "[red]mean[/red] colour"] for line in lines
    )
    assert any(line.split()[:3] == ["gradient-routing", "critic", "fetchbench"] for line in lines)
    assert lines[-2:] == [
        "failed: broken.py: ZeroDivisionError: division by zero (line 1)",
        "failed: absent.py: no such file: absent.py",
    ]


def test_plugins_as_json(fetchbench, plugin):
    plugin(), plugin("1 / 0", "broken.py")
    found = json.loads(fetchbench("plugins", "--json", "--plugin", "mine.py", "--plugin", "broken.py").out)
    by_name = {(entry["kind"], entry["name"]): entry for entry in found}
    assert by_name["encoder", "mean-colour"] == {
        "kind": "encoder",
        "name": "mean-colour",
        "provider": "mine.py",
        "version": "local",
        "status": "loaded",
        "summary": "[red]mean[/red] colour",
        "source": "",
        "location": "mine.py",
        "error": None,
    }
    assert by_name[None, "broken.py"]["status"] == "failed"
    assert "division by zero" in by_name[None, "broken.py"]["error"]
    assert {entry["status"] for entry in found} == {"loaded", "failed"}
