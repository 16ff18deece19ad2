// A link without an Ethernet header between two network namespaces, as a modem or a provider makes one: held
// until standard input ends where that is a pipe, else until it is killed. Nothing is negotiated, since both
// ends are ours: what pppd would agree on is taken as agreed.
//
//   bare-link tun   NAME NETNS NAME NETNS        two tun devices, joined by this program
//   bare-link rawip NAME NETNS NAME NETNS        the same, of the type that modems have (ARPHRD_RAWIP)
//   bare-link ppp   NETNS NETNS                  PPP over a serial line (a pty)
//   bare-link pppoe DEVICE NETNS DEVICE NETNS    a PPPoE session between two Ethernet devices
//
// NETNS is a path. Writes a line with the names of both interfaces once they are there; they are down.

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// clang-format off: if_pppox.h wants what the others declare.
#include <netinet/in.h>
#include <net/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <linux/ppp-ioctl.h>
#include <linux/if_pppox.h>
// clang-format on

// The line discipline of PPP (linux/tty.h), which libc does not name.
#define LINE_PPP 3
#define SESSION 7
#define PACKET_BYTES_MAX 65536

struct end {
    const char *device;
    const char *netns;
    int fd;
    char name[IFNAMSIZ];
};

static void enter(const char *netns)
{
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET))
        err(1, "%s", netns);
    close(fd);
}

static void open_tun(struct end *end, int type)
{
    enter(end->netns);
    end->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, end->device, IFNAMSIZ - 1);
    if (end->fd < 0 || ioctl(end->fd, TUNSETIFF, &request) || ioctl(end->fd, TUNSETLINK, type))
        err(1, "tun %s", end->device);
    memcpy(end->name, request.ifr_name, IFNAMSIZ);
}

// Makes a PPP interface of a channel, in the namespace that the channel was made in.
static void make_unit(struct end *end, int channel_fd)
{
    int channel = 0, unit = -1;
    if (ioctl(channel_fd, PPPIOCGCHAN, &channel))
        err(1, "PPPIOCGCHAN");
    int below = open("/dev/ppp", O_RDWR | O_CLOEXEC), above = open("/dev/ppp", O_RDWR | O_CLOEXEC);
    if (below < 0 || above < 0 || ioctl(below, PPPIOCATTCHAN, &channel) ||
        ioctl(above, PPPIOCNEWUNIT, &unit) || ioctl(below, PPPIOCCONNECT, &unit))
        err(1, "/dev/ppp");
    end->fd = above;
    snprintf(end->name, IFNAMSIZ, "ppp%d", unit);
}

static void open_serial(struct end *a, struct end *b)
{
    int line = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (line < 0 || grantpt(line) || unlockpt(line))
        err(1, "pty");
    int far = open(ptsname(line), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (far < 0)
        err(1, "%s", ptsname(line));
    struct end *ends[] = {a, b};
    int fds[] = {line, far}, discipline = LINE_PPP;
    for (int at = 0; at < 2; at++) {
        enter(ends[at]->netns);
        if (ioctl(fds[at], TIOCSETD, &discipline))
            err(1, "TIOCSETD");
        make_unit(ends[at], fds[at]);
    }
}

static void mac_of(const struct end *end, unsigned char mac[6])
{
    enter(end->netns);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    strncpy(request.ifr_name, end->device, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
        err(1, "%s", end->device);
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    close(fd);
}

static void open_session(struct end *end, const struct end *far)
{
    struct sockaddr_pppox to = {.sa_family = AF_PPPOX, .sa_protocol = PX_PROTO_OE};
    to.sa_addr.pppoe.sid = htons(SESSION);
    strncpy(to.sa_addr.pppoe.dev, end->device, IFNAMSIZ - 1);
    mac_of(far, to.sa_addr.pppoe.remote);
    enter(end->netns);
    int fd = socket(AF_PPPOX, SOCK_STREAM | SOCK_CLOEXEC, PX_PROTO_OE);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
        err(1, "PPPoE on %s", end->device);
    make_unit(end, fd);
}

// Until standard input ends; with `carries`, packets are carried between the two meanwhile.
static void hold(const struct end *a, const struct end *b, int carries)
{
    static char packet[PACKET_BYTES_MAX];
    struct stat input;
    int is_pipe = !fstat(0, &input) && (S_ISFIFO(input.st_mode) || S_ISSOCK(input.st_mode));
    struct pollfd fds[] = {{is_pipe ? 0 : -1, POLLIN, 0}, {a->fd, POLLIN, 0}, {b->fd, POLLIN, 0}};
    while (poll(fds, carries ? 3 : 1, -1) > 0) {
        if (fds[0].revents && read(0, packet, sizeof(packet)) <= 0)
            return;
        for (int at = 1; at < 3; at++) {
            ssize_t size = fds[at].revents & POLLIN ? read(fds[at].fd, packet, sizeof(packet)) : 0;
            // What is refused is lost, as on any link: its interface is down, say.
            if (size > 0 && write(fds[3 - at].fd, packet, size) < 0)
                continue;
        }
    }
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    struct end a = {0}, b = {0};
    if (argc == 6) {
        a = (struct end){.device = argv[2], .netns = argv[3]};
        b = (struct end){.device = argv[4], .netns = argv[5]};
    } else if (argc == 4) {
        a.netns = argv[2];
        b.netns = argv[3];
    }
    int is_tun = !strcmp(kind, "tun") || !strcmp(kind, "rawip");
    if (is_tun && argc == 6) {
        int type = *kind == 'r' ? ARPHRD_RAWIP : ARPHRD_NONE;
        open_tun(&a, type);
        open_tun(&b, type);
    } else if (!strcmp(kind, "ppp") && argc == 4) {
        open_serial(&a, &b);
    } else if (!strcmp(kind, "pppoe") && argc == 6) {
        open_session(&a, &b);
        open_session(&b, &a);
    } else {
        errx(2, "see the top of bare_link.c");
    }
    printf("%s %s\n", a.name, b.name);
    fflush(stdout);
    hold(&a, &b, is_tun);
    return 0;
}
