/* The device engine of sottovoce.
 *
 * - Strings are UTF-8 and end with a zero byte. What is passed in is read during the call only.
 * - A handle that a function gives out is the caller's, to be given back once: an engine to sv_close, a
 *   request to sv_answered or sv_request_free, a string to sv_string_free. NULL is refused where a
 *   handle is used, and ignored where it is freed.
 * - A function that fails says why by its status and in words by sv_last_error, and changes nothing.
 *   Places to write to are written by functions that succeed only.
 * - An engine may be used from any thread; calls on one engine wait for each other. A request and a
 *   string belong to one thread at a time.
 * - No panic leaves the library. An engine that panicked answers SV_STATUS_BROKEN from then on; its
 *   state is as it was stored.
 * - `now` is in seconds since 1970-01-01 UTC.
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
    // An argument is null, not UTF-8, or not what it should be.
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
    // The library broke; open the engine again.
    SV_STATUS_BROKEN = 12,
    // The program demands proofs that its tasks and the aggregators' keys are in both logs, and they are
    // missing or do not hold.
    SV_STATUS_NOT_LOGGED = 13,
    // The event is about another value of a public dimension than the device was assigned last.
    SV_STATUS_OTHER_ASSIGNMENT = 14,
    // The device has no value of a public dimension of the metric; `sv_assign` one first.
    SV_STATUS_UNASSIGNED = 15,
} sv_status;

// What `sv_open` found.
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
    // Ask again at the moment that is given, whether or not something was recorded in the meantime.
    SV_STEP_WAIT = 1,
    // Nothing, until the user agrees to take part.
    SV_STEP_IDLE = 2,
} sv_step;

// One device's engine for one program.
typedef struct sv_engine sv_engine;

// A request for the app to send.
typedef struct sv_request sv_request;

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

// Opens the state of a device, or begins one.
//
// `program` is the text of the program file. `state_path` names the state's file; without one the
// state ends with the process. `key` are 32 bytes that the state is sealed with, or null. With
// `adopt`, the state of another program goes on with this one. `found` may be null.
sv_status sv_open(const char *program,
                  const char *state_path,
                  const uint8_t *key,
                  bool adopt,
                  uint64_t now,
                  sv_engine **engine,
                  sv_found *found);

// Closes an engine. Its state is stored already.
void sv_close(sv_engine *engine);

// The user agrees to take part, or changes their mind: then what was not sent is deleted.
sv_status sv_consent(const sv_engine *engine, bool given, uint64_t now);

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

// What the device did, for its user: in words, or in JSON. To be given back to `sv_string_free`.
sv_status sv_history(const sv_engine *engine, bool json, uint64_t now, char **text);

// What to show to the user before they agree, and whenever they want to know. To be given back to
// `sv_string_free`.
sv_status sv_explain(const sv_engine *engine, char **text);

// Whether to ask the user now about a response, and why, in words. `moment` is JSON:
// `{"response": "r17", "confidence": 0.3, "contradiction": 0.1, "novelty": 0.5, "aspect": "tone"}`,
// where all but `response` can be left out. A decision to ask counts as asked. `why` is to be given
// back to `sv_string_free`. A null place for either is refused before anything counts.
sv_status sv_decide(const sv_engine *engine,
                    const char *moment,
                    uint64_t now,
                    bool *ask,
                    char **why);

// Sorts a comment by the rules of a `triage` metric and records the category, about a response or
// none. The comment is read here and kept nowhere. `category` is to be given back to
// `sv_string_free`; it is null if no rule matches. A null place for it is refused before anything is
// recorded.
sv_status sv_triage(const sv_engine *engine,
                    const char *metric,
                    const char *comment,
                    const char *response,
                    uint64_t now,
                    char **category);

// Erases all that the device remembers, but for until when it is silent if anything was ever drawn: in one
// step, so that a crash never makes the device new.
sv_status sv_forget(const sv_engine *engine,
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

// Why the last call on this thread that failed did so, in words; empty if none did. Lives until
// the next call that fails on this thread.
const char *sv_last_error(void);

// Gives back a string.
void sv_string_free(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOTTOVOCE_H */
