/* The first report of an app, from `sottovoce demo --serve` to a window's figures.
 *
 * docs/src/embedding.md has the same lines; bindings/c/check compares them and runs this against the
 * demo's servers.
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
        fprintf(stderr, "%s: %s\n", what, sv_last_error());
        exit(1);
    }
}

int main(int argc, char **argv) {
    static char program[1 << 16], state[4096], event[256];
    if (argc != 2) {
        fprintf(stderr, "name the program file\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL || fread(program, 1, sizeof program - 1, file) == 0) {
        perror(argv[1]);
        return 1;
    }
    fclose(file);

    /* Once: the program, byte for byte as all parties hold it, and this device's state. */
    sv_engine *engine = NULL;
    snprintf(state, sizeof state, "%s.state", argv[1]);
    check(sv_open(program, state, NULL, false, now(), &engine, NULL), "open");
    check(sv_consent(engine, true, now()), "consent"); /* after the user said yes to sv_explain */

    /* For each answer, with a name of your own for the response that it is about: */
    snprintf(event, sizeof event,
             "{\"metric\": \"helpful\", \"answer\": {\"thumbs\": \"up\"}, \"response\": \"r%llu\"}",
             (unsigned long long)now());
    check(sv_record(engine, event, now(), NULL), "record");

    /* In the background, when the engine says: send what is due. */
    for (;;) {
        uint64_t again = 0;
        uint32_t unanswered = 0;
        char *history = NULL;
        check(sv_deliver(engine, 30000, &again, &unanswered), "deliver");
        if (unanswered > 0) fprintf(stderr, "no response; the same bytes are sent again later\n");
        check(sv_history(engine, false, now(), &history), "history");
        printf("%s\n", history);
        sv_string_free(history);
        check(sv_history(engine, true, now(), &history), "history");
        const char *kept = strstr(history, "\"kept\":0,"), *waiting = strstr(history, "\"waiting\":0,");
        sv_string_free(history);
        if (kept != NULL && waiting != NULL) break;
        sleep(again > now() ? (unsigned)(again - now()) : 1);
    }
    sv_close(engine);
    return 0;
}
