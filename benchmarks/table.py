"""Prints what all benchmarks have measured on this machine as Markdown, for docs/speed.md."""

import json

from measure import Figure, results_file, table


def main() -> None:
    """Print a table a benchmark."""
    content = json.loads(results_file().read_text())
    print(f"Measured on {content['machine']}.")
    for name, figures in content["figures"].items():
        print(f"\n**{name}**\n\n{table([Figure(**figure) for figure in figures])}")


if __name__ == "__main__":
    main()
