"""The W&B report, as it is sent to a server of our own that answers as W&B's does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from written_runs import write_run

from lynx_pose.dashboard import main
from lynx_pose.errors import InputError
from lynx_pose.reporting.wandb_report import write_wandb_report

FIGURES = {("hrnet", "blur"): 0.81, ("hrnet", "color"): 0.85, ("r50", "blur"): 0.83}


def write_sweep(folder):
    for number, ((model, augmentation), ap) in enumerate(FIGURES.items()):
        write_run(folder / f"{number}-{model}-{augmentation}", folder / "data", model, augmentation, ap, 3)


@pytest.fixture
def server(monkeypatch):
    """What was asked of a server that knows one project and takes every report."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # W&B also sends counts of its functions' use, in another form.
            query = json.loads(body) if body.startswith(b"{") else {"query": ""}
            asked.append(query)
            variables = query.get("variables") or {}
            project = {"id": "p", "name": "lynx_pose", "entityName": "team"}
            view = {"id": "v1", "type": "runs", "name": "n", "displayName": variables.get("displayName")}
            view |= {
                "description": "",
                "project": project,
                "spec": variables.get("spec"),
                "updatedAt": "2026-01-01T00:00:00",
            }
            node = {
                "node": project | {"createdAt": "2026-01-01T00:00:00", "isBenchmark": False, "user": None},
                "cursor": "c",
            }
            data = {
                "viewer": {"id": "u", "entity": "team", "username": "u", "flags": "{}", "teams": {"edges": []}},
                "project": project | {"internalId": "p"},
                "models": {"edges": [node], "pageInfo": {"endCursor": "c", "hasNextPage": False}},
                "serverInfo": {"cliVersionInfo": {"max_cli_version": "99"}},
                "upsertView": {"view": view, "inserted": True},
            }
            body = json.dumps({"data": data}).encode()
            self.send_response(self.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield asked, Handler
    listening.shutdown()


def test_a_report_is_sent(server, tmp_path):
    sweep = tmp_path / "multirun" / "2026-01-01" / "12-00-00"
    write_sweep(sweep)
    address = write_wandb_report([sweep], "team", None)
    asked, _ = server
    assert "/team/lynx_pose/reports/" in address
    (sent,) = [query["variables"] for query in asked if "upsertView" in query["query"]]
    assert (sent["entityName"], sent["projectName"]) == ("team", "lynx_pose")
    text = sent["spec"]
    for ap in FIGURES.values():
        assert f"{ap:.4f}" in text
    assert "val/AP" in text
    assert "val/poses" in text
    assert "2026-01-01_12-00-00" in text
    for augmentation in {augmentation for _, augmentation in FIGURES}:
        assert f"aug={augmentation}" in text


def test_where_the_server_refuses_the_way_on_is_told(server, tmp_path):
    _, handler = server
    handler.status = 403
    write_sweep(tmp_path / "sweep")
    with pytest.raises(InputError, match=r"lynx_pose\.report writes the same comparison"):
        write_wandb_report([tmp_path / "sweep"], "team", "lynx_pose")


def test_the_command_line_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["dashboard", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(tmp_path / "nowhere") in ended.value.code
