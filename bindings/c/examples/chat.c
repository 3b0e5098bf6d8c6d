/* An app with a chat: the user agrees, rates an answer, changes their mind; a day later what was said
 * is delivered. Several devices in one process, so that there is a crowd.
 *
 *     chat PROGRAM.toml FOLDER DEVICES SECONDS
 *
 * FOLDER holds each device's state; SECONDS is how long to wait for the window to close.
 */

#include "sottovoce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) { return (uint64_t)time(NULL); }

static void check(sv_status status, const char *what) {
    if (status != SV_STATUS_OK) {
        fprintf(stderr, "%s: status %d: %s\n", what, (int)status, sv_last_error());
        exit(1);
    }
}

/* Whatever is wrong is told, by a status and in words, and nothing happens. */
static void expect(sv_status found, sv_status expected, const char *what) {
    if (found != expected || strlen(sv_last_error()) == 0) {
        fprintf(stderr, "%s: status %d, not %d\n", what, (int)found, (int)expected);
        exit(1);
    }
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    size_t length = fread(text, 1, capacity - 1, file);
    text[length] = 0;
    fclose(file);
    return text;
}

static void refuse_nonsense(const char *program, const char *state) {
    static const uint8_t key[32] = {1};
    sv_engine *engine = NULL;
    sv_engine *second = NULL;
    expect(sv_open(NULL, NULL, NULL, false, now(), &engine, NULL), SV_STATUS_ARGUMENT, "no program");
    expect(sv_open("name = 1", NULL, NULL, false, now(), &engine, NULL), SV_STATUS_PROGRAM, "nonsense");
    expect(sv_open(program, NULL, NULL, false, 0, &engine, NULL), SV_STATUS_CLOCK, "1970");
    expect(sv_open(program, "/nowhere/state", NULL, false, now(), &engine, NULL), SV_STATUS_STORAGE,
           "no folder");
    check(sv_open(program, state, key, false, now(), &engine, NULL), "open");
    expect(sv_open(program, state, key, false, now(), &second, NULL), SV_STATUS_IN_USE, "twice");
    expect(sv_record(engine, "{\"metric\": \"helpful\", \"answer\": {\"thumbs\": \"up\"}}", now(), NULL),
           SV_STATUS_NO_CONSENT, "before consent");
    check(sv_consent(engine, true, now()), "consent");
    expect(sv_record(engine, "{", now(), NULL), SV_STATUS_ARGUMENT, "half an event");
    expect(sv_record(engine, "\xff", now(), NULL), SV_STATUS_ARGUMENT, "not UTF-8");
    expect(sv_record(engine, "{\"metric\": \"tone\", \"answer\": {\"thumbs\": \"up\"}}", now(), NULL),
           SV_STATUS_NOT_ASKED, "unknown metric");
    expect(sv_record(NULL, "{}", now(), NULL), SV_STATUS_ARGUMENT, "no engine");
    expect(sv_next(engine, now(), NULL, NULL, NULL), SV_STATUS_ARGUMENT, "no places");
    expect(sv_answered(engine, NULL, NULL, now()), SV_STATUS_ARGUMENT, "no request");
    sv_close(engine);
    expect(sv_open(program, state, NULL, false, now(), &engine, NULL), SV_STATUS_KEY, "no key");
    check(sv_open(program, state, key, false, now(), &engine, NULL), "open again");
    check(sv_forget(engine, now()), "forget");
    sv_close(engine);
    sv_close(NULL);
    sv_string_free(NULL);
    sv_request_free(NULL);
}

/* An app that keeps the state itself, here in memory: what sv_to_save gives is durable before sv_saved says so. */
static void keep_the_state(const char *program) {
    uint8_t *stored = NULL;
    size_t stored_len = 0;
    for (int life = 0; life < 2; life++) {
        sv_engine *engine = NULL;
        sv_save *save = NULL;
        sv_found found;
        check(sv_open_blob(program, stored, stored_len, NULL, false, now(), &engine, &found), "open");
        if (found != (life == 0 ? SV_FOUND_NOTHING : SV_FOUND_STATE)) exit(1);
        check(sv_consent(engine, true, now()), "consent");
        check(sv_to_save(engine, &save), "to save");
        if ((save == NULL) != (life == 1)) exit(1); /* The second time nothing has changed. */
        if (save != NULL) {
            const uint8_t *blob = sv_save_blob(save, &stored_len);
            stored = realloc(stored, stored_len);
            memcpy(stored, blob, stored_len);
            check(sv_saved(engine, save), "saved");
        }
        sv_close(engine);
    }
    free(stored);
}

/* An app with a network of its own would do this with what sv_next hands out. */
static void see_a_request(sv_engine *engine) {
    sv_step step;
    sv_request *request = NULL;
    uint64_t until = 0;
    check(sv_next(engine, now(), &step, &request, &until), "next");
    if (step == SV_STEP_SEND) {
        size_t length = 0;
        const uint8_t *body = sv_request_body(request, &length);
        printf("%s %s, %zu bytes\n", sv_request_method(request), sv_request_url(request), length);
        if (body == NULL || sv_request_max_response(request) == 0) exit(1);
        /* It did not arrive, as far as we know. */
        check(sv_answered(engine, request, NULL, now()), "answered");
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: chat PROGRAM.toml FOLDER DEVICES SECONDS\n");
        return 2;
    }
    char *program = read_file(argv[1]);
    const int devices = atoi(argv[3]);
    const unsigned seconds = (unsigned)atoi(argv[4]);
    char path[4096];
    snprintf(path, sizeof path, "%s/nonsense", argv[2]);
    refuse_nonsense(program, path);
    keep_the_state(program);

    sv_engine **engines = calloc((size_t)devices, sizeof *engines);
    for (int device = 0; device < devices; device++) {
        sv_found found;
        sv_kept kept;
        snprintf(path, sizeof path, "%s/device-%d", argv[2], device);
        check(sv_open(program, path, NULL, false, now(), &engines[device], &found), "open");
        if (found != SV_FOUND_NOTHING) return 1;
        check(sv_consent(engines[device], true, now()), "consent");
        const char *first = "{\"metric\": \"helpful\", \"answer\": {\"thumbs\": \"down\"}, \"response\": \"r1\"}";
        const char *then = "{\"metric\": \"helpful\", \"answer\": {\"thumbs\": \"up\"}, \"response\": \"r1\"}";
        check(sv_record(engines[device], first, now(), &kept), "a thumb");
        check(sv_record(engines[device], then, now(), &kept), "another mind");
        if (kept != SV_KEPT_DONE) return 1;
    }

    sleep(seconds);
    for (int device = 0; device < devices; device++) {
        if (device == 0) see_a_request(engines[device]);
        /* Requests that failed are repeated after a while; until then nothing is lost. */
        uint64_t again = 0;
        uint32_t unanswered = 0;
        for (int round = 0; round < 60; round++) {
            check(sv_deliver(engines[device], 10000, &again, &unanswered), "deliver");
            char *json = NULL;
            check(sv_history(engines[device], true, now(), &json), "history");
            const int is_done = strstr(json, "\"waiting\":0") != NULL;
            sv_string_free(json);
            if (is_done || device == 0) break;
            sleep(1);
        }
    }
    char *text = NULL;
    check(sv_explain(engines[1], &text), "explain");
    printf("%s\n", text);
    sv_string_free(text);
    check(sv_history(engines[1], false, now(), &text), "history");
    printf("%s\n", text);
    sv_string_free(text);
    for (int device = 0; device < devices; device++) sv_close(engines[device]);
    free(engines);
    free(program);
    return 0;
}
