/* A web server in one file, built by bin/build. It answers every request, one at a time, and ends when asked to. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 5000)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("listen");
        return 1;
    }
    for (;;) {
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\nConnection: close\r\n\r\nHello from C!\n";
        char request[4096];
        int client = accept(listener, NULL, NULL);
        ssize_t read_bytes = client < 0 ? -1 : read(client, request, sizeof request - 1);
        if (read_bytes > 0) {
            request[read_bytes] = 0;
            printf("%.*s\n", (int)strcspn(request, "\r\n"), request);
            if (write(client, answer, sizeof answer - 1) < 0)
                perror("write");
        }
        if (client >= 0) {
            shutdown(client, SHUT_WR);
            while (read(client, request, sizeof request) > 0) { }
            close(client);
        }
    }
}
