"""Where a report's results come from: date, commit, machine, duration, run and the command that makes them again."""

import json
import shlex

from cxrlib.params import ParameterError, load_params

UNKNOWN = "not recorded"


def origin(run: dict, notebooks: dict[str, dict]) -> dict[str, str]:
    """Facts about a run by name.

    Args:
        run: profile and parameters, as in params.json.
        notebooks: entries of the run's manifest.

    Returns:
        run, date, commit, machine, duration, command. The same run gives the same text.
    """
    entries = [notebooks[name] for name in sorted(notebooks)]
    last = max(entries, key=lambda entry: entry.get("begun") or "", default={})
    seconds = sum(entry.get("seconds") or 0 for entry in entries)
    commit = (last.get("commit") or "")[:12]
    compute = next((entry["compute"] for entry in reversed(entries) if entry.get("compute")), {})
    return {
        "run": last.get("run", UNKNOWN),
        "date": (last.get("begun") or UNKNOWN)[:10],
        "commit": (commit or UNKNOWN) + (", with uncommitted changes" if last.get("dirty") else ""),
        "machine": _machine(last.get("machine", {}), compute),
        "duration": f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds else UNKNOWN,
        "command": command(run),
    }


def command(run: dict) -> str:
    """The command that makes a run again: its profile, and every parameter that differs from the profile's."""
    try:
        own = load_params(run["profile"]).model_dump(mode="json")
    except ParameterError:  # of a profile that is not here, all parameters are named
        own = {}
    changed = [
        f"--set {shlex.quote(f'{section}.{name}={value if isinstance(value, str) else json.dumps(value)}')}"
        for section, values in run["parameters"].items()
        for name, value in values.items()
        if own.get(section, {}).get(name) != value
    ]
    return " ".join(["python run_all.py", run["profile"], *changed])


def _machine(machine: dict, compute: dict) -> str:
    system = " ".join(filter(None, [machine.get("system", "").partition("-")[0], machine.get("processor", "")]))
    threads = f"{compute['threads']} threads" if compute.get("threads") else ""
    return ", ".join(filter(None, [system, compute.get("device", ""), threads])) or UNKNOWN
