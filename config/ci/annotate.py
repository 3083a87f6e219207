"""Turns the JSON of `gatehouse check` into annotations of GitHub, one for each finding."""

import json
import sys

# What a workflow command would take for its own end.
DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
PROPERTY = {**DATA, ":": "%3A", ",": "%2C"}
LEVEL = {"fault": "error", "warning": "warning", "audit": "notice"}


def escaped(text, table):
    return "".join(table.get(letter, letter) for letter in str(text))


def main():
    report = json.load(sys.stdin)
    for thing in report["objects"]:
        name = "/".join(part for part in (thing["namespace"], thing["name"]) if part)
        for finding in thing["findings"]:
            place = ""
            if thing.get("file") and thing["file"] != "-":
                place = f" file={escaped(thing['file'], PROPERTY)},line={thing.get('line') or 1},"
                place += f"title={escaped(thing['kind'] + ' ' + name, PROPERTY)}"
            hint = f" ({finding['hint']})" if finding.get("hint") else ""
            text = f"{finding['field']}: {finding['message']}{hint}"
            print(f"::{LEVEL.get(finding['severity'], 'notice')}{place}::{escaped(text, DATA)}")
    summary = report["summary"]
    print(f"{summary['apps']} apps, {summary['faults']} faults, {summary['warnings']} warnings")


if __name__ == "__main__":
    main()
