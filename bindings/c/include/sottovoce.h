/* The device of sottovoce.
 *
 * - Strings are UTF-8 and end with a zero byte. What is passed in is read during the call only.
 * - A handle that a function gives out is the caller's, to be given back once: an engine to sv_close, a
 *   request to sv_answered or sv_request_free, a save to sv_saved, sv_not_saved or sv_save_free, a string to
 *   sv_string_free. NULL is refused where a handle is used, and ignored where it is freed.
 * - A function that fails says why by its status, in words by sv_last_error and in fields by
 *   sv_last_error_json, and changes nothing. Places to write to are written by functions that succeed only.
 * - An engine may be used from any thread; calls on one engine wait for each other. A request, a save and a
 *   string belong to one thread at a time.
 * - No panic leaves the library. An engine that panicked answers SV_STATUS_BROKEN from then on; its
 *   state is as it was stored.
 * - `now` is in seconds since 1970-01-01 UTC.
 *
 * Who keeps the state: after sv_open the library does, in a file, and each call has stored what it changed
 * when it returns. After sv_open_blob the app does, wherever it likes: each change is in what sv_to_save gives,
 * and no request is handed out before sv_saved.
 */

#ifndef SOTTOVOCE_H
#define SOTTOVOCE_H

/* Made by cbindgen from bindings/c/src; see bindings/c/check. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// How a call ended.
typedef enum {
    // Well.
    SV_STATUS_OK = 0,
    // An argument is NULL, not UTF-8, or not what it should be.
    SV_STATUS_ARGUMENT = 1,
    // The program is not valid.
    SV_STATUS_PROGRAM = 2,
    // The user has not agreed to take part.
    SV_STATUS_NO_CONSENT = 3,
    // The program does not ask this, or the answer is not one of its.
    SV_STATUS_NOT_ASKED = 4,
    // The clock is plainly wrong, or the program asks at another time.
    SV_STATUS_CLOCK = 5,
    // Another process has the state.
    SV_STATUS_IN_USE = 6,
    // The state cannot be stored or loaded.
    SV_STATUS_STORAGE = 7,
    // The state is sealed with another key, or with one that was not given.
    SV_STATUS_KEY = 8,
    // The state belongs to another program.
    SV_STATUS_OTHER_PROGRAM = 9,
    // A report could not be made.
    SV_STATUS_REPORT = 10,
    // Requests cannot be made from here.
    SV_STATUS_NETWORK = 11,
    // The library panicked; close the engine and open it again.
    SV_STATUS_BROKEN = 12,
    // The program demands proofs that its tasks and the aggregators' keys are in both logs, and they are
    // missing or do not hold.
    SV_STATUS_NOT_LOGGED = 13,
    // The event is about another value of a public dimension than the device was assigned last.
    SV_STATUS_OTHER_ASSIGNMENT = 14,
    // The device has no value of a public dimension of the metric; `sv_assign` one first.
    SV_STATUS_UNASSIGNED = 15,
    // A save or a request that the engine is not waiting for; nothing is changed.
    SV_STATUS_OUT_OF_TURN = 16,
} sv_status;

// What became of an event, or of a withdrawal.
typedef enum {
    // The event is kept until a window of this device's own closes; or the answer is forgotten.
    SV_KEPT_DONE = 0,
    // The answer about this response was drawn already, and counts as it was then.
    SV_KEPT_DRAWN = 1,
    // There was nothing to withdraw.
    SV_KEPT_UNKNOWN = 2,
} sv_kept;

// What to do now.
typedef enum {
    // Send the request, and tell `sv_answered`.
    SV_STEP_SEND = 0,
    // Call again at the moment that is given, whether or not something was recorded in the meantime.
    SV_STEP_WAIT = 1,
    // Nothing, until the user agrees to take part.
    SV_STEP_IDLE = 2,
    // Save what `sv_to_save` gives, then call again: only where the app keeps the state.
    SV_STEP_SAVE = 3,
} sv_step;

// What an engine was opened from.
typedef enum {
    // Nothing: the device is new.
    SV_FOUND_NOTHING = 0,
    // Its state.
    SV_FOUND_STATE = 1,
    // The state of another program, which was adopted.
    SV_FOUND_ADOPTED = 2,
    // A state that is not read; it is kept aside, and the device is silent for a while.
    SV_FOUND_SET_ASIDE = 3,
} sv_found;

// Whether a device is held out by a dimension.
typedef enum {
    // It is not.
    SV_HELD_OUT_NO = 0,
    // It is: the app leaves it as it is.
    SV_HELD_OUT_YES = 1,
    // The program has no such dimension of that kind.
    SV_HELD_OUT_NO_SUCH_DIMENSION = 2,
} sv_held_out;

// What happens, before a save's blob replaces the last one, to copies of a state that could not be read.
typedef enum {
    // Nothing.
    SV_ASIDE_LEAVE = 0,
    // A copy of the blob that is stored now is kept for people to look at.
    SV_ASIDE_KEEP = 1,
    // All copies are removed.
    SV_ASIDE_DISCARD = 2,
} sv_aside;

// One device's engine for one program.
typedef struct sv_engine sv_engine;

// A request for the app to send.
typedef struct sv_request sv_request;

// A state for the app to save.
typedef struct sv_save sv_save;

// What a response was, if there was one.
typedef struct {
    // The HTTP status.
    uint16_t status;
    // The header `Content-Type`, or null.
    const char *content_type;
    // The header `Retry-After`, or null.
    const char *retry_after;
    // The header `Cache-Control`, or null.
    const char *cache_control;
    // The body; may be null if it is empty.
    const uint8_t *body;
    // Its length in bytes.
    uintptr_t body_len;
} sv_response;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The user agrees to take part, or changes their mind: then what was not sent is deleted.
sv_status sv_consent(const sv_engine *engine, bool given, uint64_t now);

// Whether the user agreed.
sv_status sv_has_consent(const sv_engine *engine, bool *given);

// Takes the proofs that come with the program, from `sottovoce-auditor prove`: that both aggregators'
// logs have its tasks. A program that demands them of devices needs this after each `sv_open`; before
// it, `sv_next` sends nothing and what was said waits. For such a program `sv_next` also hands out requests
// for the proofs of the aggregators' keys; while a key is not in its log, it fails with `NotLogged`.
sv_status sv_prove(const sv_engine *engine,
                   const char *proofs);

// Tells the device its value of a public dimension, such as its experiment arm. Without one, nothing is
// reported of metrics with that dimension. A first value holds at once, a change from the next window on:
// `from` is that moment, or 0 if it holds now; it may be null.
sv_status sv_assign(const sv_engine *engine,
                    const char *dimension,
                    const char *value,
                    uint64_t now,
                    uint64_t *from);

// Records what a user said or did, in JSON:
// `{"metric": "helpful", "answer": {"thumbs": "up"}, "response": "r17", "dimensions": {"segment": "new"}}`,
// where `"signal": "copied"` or `"more": 1` may stand in place of `answer`. Of a public dimension an event
// can only repeat what `sv_assign` said last. `kept` may be null.
sv_status sv_record(const sv_engine *engine,
                    const char *event,
                    uint64_t now,
                    sv_kept *kept);

// Takes back what was said of a response. `kept` may be null.
sv_status sv_withdraw(const sv_engine *engine,
                      const char *metric,
                      const char *response,
                      uint64_t now,
                      sv_kept *kept);

// What the device did, for its user: in words, or in JSON. To be given back to `sv_string_free`.
sv_status sv_history(const sv_engine *engine, bool json, uint64_t now, char **text);

// What to show to the user before they agree, and whenever they want to know. To be given back to
// `sv_string_free`.
sv_status sv_explain(const sv_engine *engine, char **text);

// The program's tasks, in JSON: `{"name": "task ID", …}`. To be given back to `sv_string_free`.
sv_status sv_tasks(const sv_engine *engine, char **json);

// Erases all that the device remembers, but for until when it is silent if anything was ever drawn: in one
// step, so that a crash never makes the device new.
sv_status sv_forget(const sv_engine *engine,
                    uint64_t now);

// What to do now: `step` says it, `request` is what to send, `until` the moment to wait for. Only this closes
// a window; call it when it said, and not because something was recorded.
sv_status sv_next(const sv_engine *engine,
                  uint64_t now,
                  sv_step *step,
                  sv_request **request,
                  uint64_t *until);

// The method of a request: `GET` or `POST`. Lives as long as the library.
const char *sv_request_method(const sv_request *request);

// The URL of a request; lives as long as the request.
const char *sv_request_url(const sv_request *request);

// The `Content-Type` of a request, or null if it has no body; lives as long as the request.
const char *sv_request_content_type(const sv_request *request);

// The body of a request, and its length; lives as long as the request. Of no request: null, and 0.
const uint8_t *sv_request_body(const sv_request *request, uintptr_t *len);

// The longest response in bytes that makes sense; read no more.
uintptr_t sv_request_max_response(const sv_request *request);

// Gives back a request that was not sent. The engine will hand it out again.
void sv_request_free(sv_request *request);

// Tells what came of a request, and gives it back, whatever is returned. `response` is null if none
// came: then it is not known whether the request arrived.
sv_status sv_answered(const sv_engine *engine,
                      sv_request *request,
                      const sv_response *response,
                      uint64_t now);

#if defined(SV_COURIER)
// Sends what is due by the system's clock, and waits for the answers: up to `timeout_ms` for each
// request. `again` is when to come again, or 0; `unanswered` how many requests had no answer. Both
// may be null.
sv_status sv_deliver(const sv_engine *engine,
                     uint64_t timeout_ms,
                     uint64_t *again,
                     uint32_t *unanswered);
#endif

// Opens the state of a device, or begins one. The library keeps the state.
//
// `program` is the text of the program file. `state_path` names the state's file; without one the
// state ends with the process. `key` are 32 bytes that the state is sealed with, or NULL. With
// `adopt`, the state of another program goes on with this one. `found` may be NULL; where it says
// `SV_FOUND_SET_ASIDE`, `sv_set_aside` says where the state was put.
sv_status sv_open(const char *program,
                  const char *state_path,
                  const uint8_t *key,
                  bool adopt,
                  uint64_t now,
                  sv_engine **engine,
                  sv_found *found);

// Opens a device whose state the app keeps: `blob` is what it saved last, or NULL if it saved nothing yet; then
// `blob_len` is 0. All else is as for `sv_open`. What is to be saved, `sv_to_save` gives.
sv_status sv_open_blob(const char *program,
                       const uint8_t *blob,
                       uintptr_t blob_len,
                       const uint8_t *key,
                       bool adopt,
                       uint64_t now,
                       sv_engine **engine,
                       sv_found *found);

// Closes an engine. What `sv_open` opened is stored already; of what `sv_open_blob` opened, what is not saved is
// lost.
void sv_close(sv_engine *engine);

// Where a state that could not be read was put when the engine was opened; NULL if there was none, or the app
// keeps the state. To be given back to `sv_string_free`.
sv_status sv_set_aside(const sv_engine *engine,
                       char **place);

// Whether to ask the user now about one of several responses. `candidates` is a JSON list of
// `{"response": "r17", "confidence": 0.3, "contradiction": 0.1, "novelty": 0.5, "aspect": "tone"}`,
// where all but `response` can be left out. `decision` is JSON: `{"ask": true, "response": "r17", "why": "…"}`, to be
// given back to `sv_string_free`. A decision to ask counts as asked; a NULL place for either is refused before
// anything counts.
sv_status sv_decide(const sv_engine *engine,
                    const char *candidates,
                    uint64_t now,
                    bool *ask,
                    char **decision);

// The question that `sv_decide` decided on last was not shown: it does not count.
sv_status sv_not_shown(const sv_engine *engine, uint64_t now);

// Sorts a comment by the rules of a `triage` metric and records the category. `comment` is JSON:
// `{"metric": "problem", "text": "It crashed", "response": "r17", "dimensions": {"segment": "new"},
// "guess": {"category": "bug", "turn": "after_rules"}}`, where all but `metric` and `text` can be left out, and
// `guess` is what a classifier of the app's own found, which counts `"before_rules"` or `"after_rules"`. The text
// is read here and kept nowhere. `category` is to be given back to `sv_string_free`; it is NULL if no rule
// matches. A NULL place for it is refused before anything is recorded.
sv_status sv_triage(const sv_engine *engine,
                    const char *comment,
                    uint64_t now,
                    char **category);

// What the user leans to, in JSON, from the surest:
// `[{"aspect": "tone", "value": 0.4, "confidence": 0.7}]`. To be given back to `sv_string_free`.
sv_status sv_leanings(const sv_engine *engine, uint64_t now, char **json);

// The user sets a leaning by hand, from -1 to 1; with a NULL `value` it is forgotten.
sv_status sv_set_leaning(const sv_engine *engine,
                         const char *aspect,
                         const double *value,
                         uint64_t now);

// The user compared two responses whose traits the app knows, in JSON:
// `{"left": {"tone": 0.5}, "right": {"tone": -1}, "outcome": "left"}`, or `"right"`, or `"tie"`.
sv_status sv_preferred(const sv_engine *engine, const char *compared, uint64_t now);

// The score so far of a response, in JSON, for a `score` metric with weights; NULL for one without. To be given
// back to `sv_string_free`.
sv_status sv_score(const sv_engine *engine,
                   const char *metric,
                   const char *response,
                   uint64_t now,
                   char **json);

// Whether this device is held out by a dimension, so that the app leaves it as it is.
sv_status sv_is_held_out(const sv_engine *engine, const char *dimension, sv_held_out *held_out);

// What is to be saved now; `save` is NULL if nothing is. To be given back to `sv_saved` or `sv_not_saved`, or,
// undecided, to `sv_save_free`: then it is given out again. For an engine that `sv_open` opened there is never
// anything.
sv_status sv_to_save(const sv_engine *engine,
                     sv_save **save);

// The blob of a save, and its length; lives as long as the save. NULL, and 0: remove what is stored.
const uint8_t *sv_save_blob(const sv_save *save,
                            uintptr_t *len);

// What happens to copies first.
sv_aside sv_save_aside(const sv_save *save);

// A save is durable: whoever reads the state after a crash finds this one. Gives the save back, whatever is
// returned.
sv_status sv_saved(const sv_engine *engine,
                   sv_save *save);

// A save failed, or nobody knows: the engine is again what was saved last, and what was recorded since is not
// recorded. Gives the save back; `save` may be NULL.
sv_status sv_not_saved(const sv_engine *engine,
                       sv_save *save);

// Gives back a save about which nothing is known yet.
void sv_save_free(sv_save *save);

// Why the last call on this thread that failed did so, in words; empty if none did. Lives until
// the next call that fails on this thread.
const char *sv_last_error(void);

// The same as JSON, with the name of its kind, which never changes, and what the message names:
// `{"kind": "unknown_metric", "message": "…", "fields": {"found": "tone", "valid": ["helpful"]}}`; empty if
// no call failed. Lives as long.
const char *sv_last_error_json(void);

// Gives back a string.
void sv_string_free(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOTTOVOCE_H */
