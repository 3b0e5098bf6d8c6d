#!/usr/bin/env python3
"""Runs bindings/conformance/cases.json through the C interface, as a program in another language calls it.

    conformance.py PATH/libsottovoce_c.so
"""

import base64
import ctypes
import json
import pathlib
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int, c_size_t, c_uint16, c_uint64, c_void_p

FOLDER = pathlib.Path(__file__).parent.parent / "conformance"
FOUND = ["nothing", "state", "adopted", "unreadable"]
STEPS = ["send", "wait", "idle", "save"]
ASIDE = ["leave", "keep", "discard"]


class Refused(Exception):
    """A call that failed, with the error as the library has it in JSON."""


class SvResponse(ctypes.Structure):
    _fields_ = [
        ("status", c_uint16),
        ("content_type", c_char_p),
        ("retry_after", c_char_p),
        ("cache_control", c_char_p),
        ("body", c_char_p),
        ("body_len", c_size_t),
    ]


class Library:
    def __init__(self, path):
        self.so = ctypes.CDLL(path)
        pointers = ["sv_last_error_json", "sv_request_method", "sv_request_url", "sv_request_content_type"]
        for name in pointers:
            getattr(self.so, name).restype = c_char_p
        for name in ["sv_request_body", "sv_save_blob"]:
            getattr(self.so, name).restype = c_void_p
        self.so.sv_request_max_response.restype = c_size_t

    def __call__(self, name, *arguments):
        if getattr(self.so, name)(*arguments) != 0:
            raise Refused(json.loads(self.so.sv_last_error_json()))

    def text(self, name, *arguments):
        """A call whose last argument is the place for a string."""
        place = c_void_p()
        self(name, *arguments, byref(place))
        if place.value is None:
            return None
        text = ctypes.string_at(place.value).decode()
        self.so.sv_string_free(place)
        return text


class App:
    def __init__(self, library, table):
        self.lib, self.table = library, table
        self.engine, self.stored, self.request, self.begun = None, None, None, []

    def close(self):
        if self.engine is not None:
            self.lib.so.sv_close(self.engine)
            self.engine = None

    def run(self, step):
        arguments = {key: value for key, value in step.items() if key not in ("call", "expect")}
        if "now" in arguments:
            arguments["now"] = c_uint64(arguments["now"])
        try:
            return getattr(self, step["call"])(**arguments)
        except Refused as error:
            return {"error": error.args[0]}

    def open(self, now, program=None, program_text=None, key=None, adopt=False, **blob):
        if "blob" in blob:
            name = blob["blob"]
            self.stored = None if name is None else base64.b64decode(self.table["blobs"][name])
        text = program_text if program is None else (FOLDER / self.table["programs"][program]).read_text()
        # C's strings end at the first zero byte: what is before it is no program either.
        text, key = text.encode(), None if key is None else bytes([key]) * 32
        engine, found = c_void_p(), c_int()
        stored, length = self.stored, c_size_t(len(self.stored or b""))
        self.lib("sv_open_blob", text, stored, length, key, c_bool(adopt), now, byref(engine), byref(found))
        self.close()
        self.engine, self.request = engine, None
        return FOUND[found.value]

    def consent(self, given, now):
        self.lib("sv_consent", self.engine, c_bool(given), now)

    def has_consent(self):
        given = c_bool()
        self.lib("sv_has_consent", self.engine, byref(given))
        return given.value

    def assign(self, dimension, value, now):
        start = c_uint64()
        self.lib("sv_assign", self.engine, dimension.encode(), value.encode(), now, byref(start))
        return start.value

    def record(self, event, now):
        return self.record_text(json.dumps(event), now)

    def record_text(self, event, now):
        kept = c_int()
        self.lib("sv_record", self.engine, event.encode(), now, byref(kept))
        return ["kept", "drawn"][kept.value]

    def withdraw(self, metric, response, now):
        kept = c_int()
        self.lib("sv_withdraw", self.engine, metric.encode(), response.encode(), now, byref(kept))
        return ["forgotten", "drawn", "unknown"][kept.value]

    def triage(self, comment, now):
        return self.lib.text("sv_triage", self.engine, json.dumps(comment).encode(), now)

    def decide(self, candidates, now):
        ask, place = c_bool(), c_void_p()
        text = json.dumps(candidates).encode()
        self.lib("sv_decide", self.engine, text, now, byref(ask), byref(place))
        decision = json.loads(ctypes.string_at(place.value))
        self.lib.so.sv_string_free(place)
        assert decision["ask"] == ask.value
        return decision

    def not_shown(self, now):
        self.lib("sv_not_shown", self.engine, now)

    def set_leaning(self, aspect, value, now):
        value = None if value is None else byref(c_double(value))
        self.lib("sv_set_leaning", self.engine, aspect.encode(), value, now)

    def preferred(self, compared, now):
        self.lib("sv_preferred", self.engine, json.dumps(compared).encode(), now)

    def leanings(self, now):
        return json.loads(self.lib.text("sv_leanings", self.engine, now))

    def score(self, metric, response, now):
        score = self.lib.text("sv_score", self.engine, metric.encode(), response.encode(), now)
        return None if score is None else json.loads(score)

    def is_held_out(self, dimension):
        held_out = c_int()
        self.lib("sv_is_held_out", self.engine, dimension.encode(), byref(held_out))
        return [False, True, None][held_out.value]

    def prove(self, proofs):
        self.lib("sv_prove", self.engine, proofs.encode())

    def forget(self, now):
        self.lib("sv_forget", self.engine, now)

    def history(self, now):
        return json.loads(self.lib.text("sv_history", self.engine, c_bool(True), now))

    def history_in_words(self, now):
        return self.lib.text("sv_history", self.engine, c_bool(False), now)

    def explain(self):
        return self.lib.text("sv_explain", self.engine)

    def tasks(self):
        return json.loads(self.lib.text("sv_tasks", self.engine))

    def next(self, now):
        step, request, until = c_int(), c_void_p(), c_uint64()
        self.lib("sv_next", self.engine, now, byref(step), byref(request), byref(until))
        found = {"step": STEPS[step.value]}
        if found["step"] == "wait":
            found["until"] = until.value
        if found["step"] == "send":
            self.request, so, length = request, self.lib.so, c_size_t()
            so.sv_request_body(request, byref(length))
            content_type = so.sv_request_content_type(request)
            found |= {
                "method": so.sv_request_method(request).decode(),
                "url": so.sv_request_url(request).decode(),
                "content_type": content_type and content_type.decode(),
                "body_len": length.value,
                "max_response_len": so.sv_request_max_response(request),
            }
        return found

    def to_save(self):
        save = c_void_p()
        self.lib("sv_to_save", self.engine, byref(save))
        return save if save.value is not None else None

    def save(self):
        saved = []
        while (save := self.to_save()) is not None:
            length = c_size_t()
            blob = self.lib.so.sv_save_blob(save, byref(length))
            aside = ASIDE[self.lib.so.sv_save_aside(save)]
            saved.append({"aside": aside, "erases": blob is None})
            stored = None if blob is None else ctypes.string_at(blob, length.value)
            self.lib("sv_saved", self.engine, save)
            self.stored = stored
        return saved

    def begin_save(self):
        save = self.to_save()
        self.begun += [save] if save else []
        return save is not None

    def not_saved(self):
        self.lib("sv_not_saved", self.engine, None)

    def saved_late(self):
        self.lib("sv_saved", self.engine, self.begun.pop())

    def answer(self, response, now):
        if response is None:
            given = None
        else:
            told = self.table["responses"][response]
            text = lambda key: told[key].encode() if key in told else None
            body = base64.b64decode(told.get("body", ""))
            headers = [text(key) for key in ("content_type", "retry_after", "cache_control")]
            given = byref(SvResponse(told["status"], *headers, body, len(body)))
        request, self.request = self.request, None
        self.lib("sv_answered", self.engine, request, given, now)

    def answer_unknown(self, now):
        other = App(self.lib, self.table)
        other.open(c_uint64(now.value - 86400), "daily")
        other.consent(True, c_uint64(now.value - 86400))
        while other.next(now)["step"] == "save":
            other.save()
        request = other.request
        other.close()
        self.lib("sv_answered", self.engine, request, None, now)


def agrees(expected, found):
    if isinstance(expected, dict) and isinstance(found, str):
        return "contains" in expected and all(part in found for part in expected["contains"])
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(agrees(value, found.get(key)) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(agrees, expected, found))
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(expected - found) <= 1e-9 * max(abs(expected), 1)
    return type(expected) is type(found) and expected == found


def main(path):
    table = json.loads((FOLDER / "cases.json").read_text())
    assert table["format"] == 1
    library, wrong, steps = Library(path), 0, 0
    for case in table["cases"]:
        app = App(library, table)
        for number, step in enumerate(case["steps"], 1):
            steps += 1
            found, expected = app.run(step), step.get("expect")
            if not agrees(expected, found):
                wrong += 1
                print(f"{case['name']}, step {number}: {step['call']}\nexpected {expected}\nfound    {found}")
                break
        app.close()
    cases = len(table["cases"])
    print(f"C: {cases - wrong} of {cases} conformance cases, {steps} steps")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
