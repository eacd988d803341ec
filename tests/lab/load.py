"""Requests to one host for a domain, one after the other, until standard input ends: what was answered, as JSON {answer: times}.
Every request is a connection of its own. Usage: load.py ADDRESS DOMAIN [PATH]"""
import http.client
import json
import select
import sys


def ask(address, domain, path):
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": domain})
        answer = connection.getresponse()
        return f"{answer.status} {answer.read().decode(errors='replace').strip()}"
    except (OSError, http.client.HTTPException) as e:
        return f"error {e!r}"
    finally:
        connection.close()


def main(address, domain, path="/"):
    answers = {}
    print("began", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        answer = ask(address, domain, path)
        answers[answer] = answers.get(answer, 0) + 1
    print(json.dumps(answers))


main(*sys.argv[1:])
