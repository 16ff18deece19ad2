// A client without a kernel's TCP, who opens a connection by a SYN, ends it, and then tries to have it again
// without asking. IPv4.
//
//   syn-replay INTERFACE THEIR-MAC FROM FROM-PORT TO TO-PORT HOW TIMES
//
// HOW: `syn` sends another SYN, `ack` the ACK of the first handshake. Before it come a RST, and an ACK whose
// checksum is wrong: it shows a filter that the connection goes on, and no server answers. Writes how many
// times the server gave back what was sent.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WORD_BYTES 10
#define PAUSE_US 50000
#define PATIENCE_US 400000

struct segment {
    struct ether_header link;
    struct iphdr ip;
    struct tcphdr tcp;
    char data[64];
} __attribute__((packed));

static int wire;
static struct segment usual;

static uint32_t added(const void *bytes, size_t size, uint32_t sum)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? at[i] : at[i] << 8;
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons(~sum & 0xffff);
}

static void send_segment(uint32_t sequence, uint32_t acknowledgement, uint8_t flags, const char *data,
                         int is_wrong)
{
    struct segment out = usual;
    size_t bytes = strlen(data), tcp_bytes = sizeof(out.tcp) + bytes;
    out.ip.tot_len = htons(sizeof(out.ip) + tcp_bytes);
    out.ip.check = folded(added(&out.ip, sizeof(out.ip), 0));
    out.tcp.seq = htonl(sequence);
    out.tcp.ack_seq = htonl(acknowledgement);
    ((uint8_t *)&out.tcp)[13] = flags;
    memcpy(out.data, data, bytes);
    uint32_t sum = added(&out.ip.saddr, 8, IPPROTO_TCP + tcp_bytes);
    out.tcp.check = folded(added(&out.tcp, tcp_bytes, sum)) ^ (is_wrong ? 0x5555 : 0);
    if (send(wire, &out, sizeof(out.link) + sizeof(out.ip) + tcp_bytes, 0) < 0)
        err(1, "send");
}

// The next segment of the connection; returns its bytes of data, or -1 where none comes.
static int receive(struct segment *in)
{
    struct timeval start, now;
    gettimeofday(&start, NULL);
    for (;;) {
        ssize_t got = recv(wire, in, sizeof(*in), 0);
        if (got < 0 && errno != EAGAIN)
            err(1, "recv");
        if (got >= (ssize_t)(sizeof(in->link) + sizeof(in->ip) + sizeof(in->tcp)) &&
            in->link.ether_type == htons(ETHERTYPE_IP) && in->ip.saddr == usual.ip.daddr &&
            in->ip.daddr == usual.ip.saddr && in->tcp.dest == usual.tcp.source &&
            in->tcp.source == usual.tcp.dest)
            return ntohs(in->ip.tot_len) - sizeof(in->ip) - in->tcp.doff * 4;
        gettimeofday(&now, NULL);
        if ((now.tv_sec - start.tv_sec) * 1000000 + now.tv_usec - start.tv_usec > PATIENCE_US)
            return -1;
    }
}

// Ends the handshake and says a word of its own: a server on a busy machine may still repeat the last. 1
// where it comes back.
static int converse(uint32_t sequence, uint32_t acknowledgement)
{
    static int words;
    char word[WORD_BYTES + 1];
    snprintf(word, sizeof(word), "word %05d", words++);
    struct segment in;
    send_segment(sequence, acknowledgement, TH_ACK, "", 0);
    usleep(PAUSE_US);
    send_segment(sequence, acknowledgement, TH_ACK | TH_PUSH, word, 0);
    for (int bytes; (bytes = receive(&in)) >= 0;)
        if (bytes == WORD_BYTES && !memcmp((char *)&in.tcp + in.tcp.doff * 4, word, WORD_BYTES))
            return 1;
    return 0;
}

// Returns what acknowledges the server's answer, 0 where there is none.
static uint32_t ask(uint32_t sequence)
{
    struct segment in;
    send_segment(sequence, 0, TH_SYN, "", 0);
    while (receive(&in) >= 0)
        if (in.tcp.syn && in.tcp.ack)
            return ntohl(in.tcp.seq) + 1;
    return 0;
}

static void end(uint32_t sequence, uint32_t acknowledgement)
{
    send_segment(sequence + WORD_BYTES, acknowledgement + WORD_BYTES, TH_RST, "", 0);
    usleep(PAUSE_US);
    // One more, since of a cookie nothing but the difference of both numbers is looked at.
    send_segment(sequence + WORD_BYTES, acknowledgement + WORD_BYTES + 1, TH_ACK, "", 1);
    usleep(PAUSE_US);
    // What is on its way is of the connection that was.
    struct segment in;
    while (recv(wire, &in, sizeof(in), MSG_DONTWAIT) >= 0)
        ;
}

static void open_wire(const char *interface, const char *mac)
{
    wire = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct ifreq request = {0};
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    if (wire < 0 || ioctl(wire, SIOCGIFHWADDR, &request))
        err(1, "%s", interface);
    memcpy(usual.link.ether_shost, request.ifr_hwaddr.sa_data, ETH_ALEN);
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(interface)};
    struct timeval patience = {.tv_usec = PATIENCE_US / 4};
    if (bind(wire, (void *)&at, sizeof(at)) ||
        setsockopt(wire, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
        err(1, "%s", interface);
    for (int byte = 0; byte < ETH_ALEN; byte++)
        sscanf(mac + 2 * byte, "%2hhx", &usual.link.ether_dhost[byte]);
    usual.link.ether_type = htons(ETHERTYPE_IP);
}

int main(int argc, char **argv)
{
    if (argc != 9)
        errx(1, "syn-replay INTERFACE THEIR-MAC FROM FROM-PORT TO TO-PORT HOW TIMES");
    open_wire(argv[1], argv[2]);
    usual.ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP};
    usual.ip.saddr = inet_addr(argv[3]);
    usual.ip.daddr = inet_addr(argv[5]);
    usual.tcp.source = htons(atoi(argv[4]));
    usual.tcp.dest = htons(atoi(argv[6]));
    usual.tcp.doff = 5;
    usual.tcp.window = htons(64240);
    int is_syn = !strcmp(argv[7], "syn");
    uint32_t sequence = 1000, acknowledgement = ask(sequence++);
    int given_back = acknowledgement && converse(sequence, acknowledgement);
    for (int times = atoi(argv[8]); given_back && times > 0; times--) {
        end(sequence, acknowledgement);
        if (is_syn) {
            sequence += 100000;
            acknowledgement = ask(sequence++);
            if (!acknowledgement)
                break;
        }
        given_back += converse(sequence, acknowledgement);
    }
    printf("%d\n", given_back);
    return 0;
}
