/* A server that behaves as its first argument says, on $PORT. Statically linked; run in a container. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words)
{
    const char *mode = count > 1 ? words[1] : "";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64))
        return 1;
    if (!strcmp(mode, "binds-then-fails")) {
        /* A master process that listens before its workers have loaded the app, which they can not. */
        usleep(1500 * 1000);
        fprintf(stderr, "ModuleNotFoundError: No module named 'shop'\n");
        return 3;
    }
    for (int served = 0;; served++) {
        char head[4096];
        int client = accept(listener, 0, 0);
        if (client < 0)
            continue;
        if (!strcmp(mode, "raw")) {
            dprintf(client, "220 mail.example.org ready\r\n");
        } else {
            ssize_t got = read(client, head, sizeof head);
            int status = !strcmp(mode, "500") ? 500 : !strcmp(mode, "404") ? 404 : 200;
            if (got > 0)
                dprintf(client, "HTTP/1.1 %d X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nshop\n", status);
        }
        shutdown(client, SHUT_WR);
        while (read(client, head, sizeof head) > 0)
            ;
        close(client);
        if (!strcmp(mode, "answers-then-fails"))
            return 4;
    }
}
