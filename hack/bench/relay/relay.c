/*
 * The floor: what passing on a PUBLISH costs when nothing is done but to pass it
 * on. A broker in user space that reads from and writes to TCP sockets has at
 * least this to do, so its cost is told as a multiple of this program's.
 *
 *     relay PORT pair|all
 *
 * It speaks just enough MQTT 3.1.1 for clients to be content. CONNECT, SUBSCRIBE
 * and PINGREQ are granted unread, QoS 1 and 2 are acknowledged on the spot, and
 * PUBLISH packets go on unchanged, packet identifiers included:
 *
 *     pair  from the client whose identifier ends in p7 to that of s7, the
 *           numbers of publishers taken modulo the number of subscribers
 *     all   from any client to all that have subscribed
 *
 * There are no topics, sessions, permissions or limits, and input is trusted.
 *
 * The order of work is the cheapest one: take what epoll reports, read each
 * socket once, collect what that makes for each receiver, and at the end of the
 * round write to each receiver once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum packet_type {
	CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP,
	SUBSCRIBE, SUBACK, PINGREQ = 12, PINGRESP
};

/* Bytes that wait, from begin to end. */
struct bytes {
	uint8_t *data;
	size_t begin, end, room;
};

struct client {
	int socket;
	unsigned number;        /* at the end of its identifier */
	bool subscribed, gone;
	bool in_round;          /* it is in round[] */
	bool blocked;           /* it waits for room in the socket */
	struct bytes partial;   /* a packet whose end has not come */
	struct bytes pending;   /* to be written */
	struct client *partner;
};

enum { READ_SIZE = 512 << 10, EVENTS = 1024, SUBSCRIBERS = 1 << 17 };

static int poller;
static bool to_all;
static struct client *subscribers[SUBSCRIBERS], *numbered[SUBSCRIBERS];
static size_t subscriber_count;
static struct client **round_clients;
static size_t round_count, round_room;
static struct bytes to_everybody;
static uint8_t input[READ_SIZE];

static void put(struct bytes *b, const void *data, size_t n)
{
	if (b->begin == b->end)
		b->begin = b->end = 0;
	if (b->room - b->end < n && b->begin > 0) {
		b->end -= b->begin;
		memmove(b->data, b->data + b->begin, b->end);
		b->begin = 0;
	}
	if (b->room - b->end < n) {
		b->room = 2 * (b->end + n);
		b->data = realloc(b->data, b->room);
		if (!b->data)
			abort();
	}
	memcpy(b->data + b->end, data, n);
	b->end += n;
}

static void watch(struct client *c, bool for_room)
{
	if (c->blocked == for_room)
		return;
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	if (for_room)
		e.events |= EPOLLOUT;
	epoll_ctl(poller, EPOLL_CTL_MOD, c->socket, &e);
	c->blocked = for_room;
}

/* What a client is written to in a round is sent at the end of it. */
static void send_to(struct client *c, const void *data, size_t n)
{
	if (c->gone)
		return;
	put(&c->pending, data, n);
	if (c->in_round || c->blocked)
		return;
	if (round_count == round_room) {
		round_room = 2 * round_room + 64;
		round_clients = realloc(round_clients, round_room * sizeof *round_clients);
		if (!round_clients)
			abort();
	}
	c->in_round = true;
	round_clients[round_count++] = c;
}

static void write_pending(struct client *c)
{
	struct bytes *b = &c->pending;
	while (b->begin < b->end) {
		ssize_t n = send(c->socket, b->data + b->begin, b->end - b->begin, MSG_NOSIGNAL);
		if (n < 0) {
			watch(c, errno == EAGAIN);
			return;
		}
		b->begin += (size_t)n;
	}
	watch(c, false);
}

static void reply(struct client *c, enum packet_type type, uint8_t flags, uint8_t high, uint8_t low)
{
	uint8_t packet[] = { (uint8_t)(type << 4 | flags), 2, high, low };
	send_to(c, packet, sizeof packet);
}

static void forget(struct client *c)
{
	/* Its memory stays, as others may still point to it. */
	c->gone = true;
	close(c->socket);
	for (size_t i = 0; i < subscriber_count; i++)
		if (subscribers[i] == c)
			subscribers[i--] = subscribers[--subscriber_count];
}

/* The identifier is the first field of the payload: "...p7", "...s7". */
static void identify(struct client *c, const uint8_t *body)
{
	const uint8_t *id = body + 12;
	size_t end = (size_t)(body[10] << 8 | body[11]), digits = end;
	while (digits > 0 && id[digits - 1] >= '0' && id[digits - 1] <= '9')
		digits--;
	for (size_t i = digits; i < end; i++)
		c->number = c->number * 10 + (unsigned)(id[i] - '0');
	reply(c, CONNACK, 0, 0, 0);
}

static void subscribe(struct client *c, const uint8_t *body, size_t length)
{
	uint8_t granted[130] = { SUBACK << 4, 2, body[0], body[1] };
	for (size_t at = 2; at + 2 < length && granted[1] < 126; granted[1]++) {
		at += 2 + (size_t)(body[at] << 8 | body[at + 1]);
		granted[2 + granted[1]] = body[at++];
	}
	send_to(c, granted, 2u + granted[1]);
	if (c->subscribed || subscriber_count == SUBSCRIBERS)
		return;
	c->subscribed = true;
	subscribers[subscriber_count++] = c;
	numbered[c->number % SUBSCRIBERS] = c;
}

static void control(struct client *c, const uint8_t *packet, const uint8_t *body, size_t length)
{
	switch (packet[0] >> 4) {
	case CONNECT:
		identify(c, body);
		break;
	case SUBSCRIBE:
		subscribe(c, body, length);
		break;
	case PUBREC:
		reply(c, PUBREL, 2, body[0], body[1]);
		break;
	case PUBREL:
		reply(c, PUBCOMP, 0, body[0], body[1]);
		break;
	case PINGREQ:
		send_to(c, (uint8_t[]){ PINGRESP << 4, 0 }, 2);
		break;
	}
}

static void acknowledge(struct client *c, const uint8_t *packet, const uint8_t *body)
{
	const uint8_t *id = body + 2 + (body[0] << 8 | body[1]);
	switch (packet[0] >> 1 & 3) {
	case 1:
		reply(c, PUBACK, 0, id[0], id[1]);
		break;
	case 2:
		reply(c, PUBREC, 0, id[0], id[1]);
		break;
	}
}

/* Passes on whole PUBLISH packets, which stand one behind the other. */
static void pass_on(struct client *c, const uint8_t *packets, size_t n)
{
	if (n == 0)
		return;
	if (to_all) {
		put(&to_everybody, packets, n);
		return;
	}
	if (!c->partner && subscriber_count > 0)
		c->partner = numbered[c->number % subscriber_count];
	if (c->partner)
		send_to(c->partner, packets, n);
}

/* The size of the packet at the front, 0 if not all of it is there. */
static size_t packet_size(const uint8_t *p, size_t have, size_t *header)
{
	size_t length = 0;
	for (size_t i = 1; i < have && i < 5; i++) {
		length |= (size_t)(p[i] & 0x7f) << (7 * (i - 1));
		if (p[i] < 0x80) {
			*header = i + 1;
			return *header + length <= have ? *header + length : 0;
		}
	}
	return 0;
}

static void take(struct client *c, const uint8_t *data, size_t have)
{
	size_t at = 0, unsent = 0, header = 0, size;
	while ((size = packet_size(data + at, have - at, &header)) > 0) {
		const uint8_t *packet = data + at, *body = packet + header;
		at += size;
		if (packet[0] >> 4 == PUBLISH) {
			acknowledge(c, packet, body);
			continue;
		}
		pass_on(c, data + unsent, (size_t)(packet - data) - unsent);
		unsent = at;
		control(c, packet, body, size - header);
	}
	pass_on(c, data + unsent, at - unsent);
	if (at < have)
		put(&c->partial, data + at, have - at);
}

static void read_from(struct client *c)
{
	size_t have = c->partial.end - c->partial.begin;
	if (have > 0)
		memcpy(input, c->partial.data + c->partial.begin, have);
	ssize_t n = recv(c->socket, input + have, sizeof input - have, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		forget(c);
	} else if (n > 0) {
		c->partial.begin = c->partial.end = 0;
		take(c, input, have + (size_t)n);
	}
}

/* The same bytes go to everybody, so they are copied only for those who cannot
   take all of them. */
static void write_to_everybody(void)
{
	size_t size = to_everybody.end - to_everybody.begin;
	for (size_t i = 0; size > 0 && i < subscriber_count; i++) {
		struct client *c = subscribers[i];
		ssize_t n = 0;
		if (c->pending.begin == c->pending.end) {
			n = send(c->socket, to_everybody.data + to_everybody.begin, size, MSG_NOSIGNAL);
			if (n < 0)
				n = 0;
		}
		if ((size_t)n == size)
			continue;
		put(&c->pending, to_everybody.data + to_everybody.begin + n, size - (size_t)n);
		if (!c->in_round)
			watch(c, true);
	}
	to_everybody.begin = to_everybody.end = 0;
}

static void end_round(void)
{
	write_to_everybody();
	for (size_t i = 0; i < round_count; i++) {
		round_clients[i]->in_round = false;
		if (!round_clients[i]->gone)
			write_pending(round_clients[i]);
	}
	round_count = 0;
}

static void accept_all(int listener)
{
	int s, yes = 1;
	while ((s = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct client *c = calloc(1, sizeof *c);
		if (!c)
			abort();
		c->socket = s;
		setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
		epoll_ctl(poller, EPOLL_CTL_ADD, s, &e);
	}
}

static int listen_on(int port)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 4096)) {
		perror("relay: listen");
		exit(1);
	}
	return s;
}

static void allow_many_files(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static void turn(int listener)
{
	static struct epoll_event events[EVENTS];
	int n = epoll_wait(poller, events, EVENTS, -1);
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;
		if (!c) {
			accept_all(listener);
			continue;
		}
		if (!c->gone && events[i].events & EPOLLOUT)
			write_pending(c);
		if (!c->gone && events[i].events & ~(uint32_t)EPOLLOUT)
			read_from(c);
	}
	end_round();
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[2], "all") && strcmp(argv[2], "pair"))) {
		fprintf(stderr, "usage: relay PORT pair|all\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	allow_many_files();
	to_all = strcmp(argv[2], "all") == 0;
	poller = epoll_create1(0);
	int listener = listen_on(atoi(argv[1]));
	struct epoll_event e = { .events = EPOLLIN };
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
	for (;;)
		turn(listener);
}
