// Package auth decides who may connect, and what a connection may publish,
// subscribe to and receive.
//
// # Pieces
//
// A Snapshot is one configuration compiled for these questions. It is immutable
// and shared without locks; a reload makes a new one. An ACL is a snapshot as
// one Principal sees it: small, cheap to make, free of locks and allocations.
// An Authenticator lives as long as the process: it remembers credentials that
// verified and such that did not, and slows down those who guess.
//
// # Rules
//
// The rules of all policies are one union, and Deny wins, whatever the order.
// Where no rule matches, the default effect decides. %u and %c stand for one
// whole topic level, the username and the client identifier; an identity that
// is empty or holds '/', '+' or '#' never matches a rule that uses it. Neither
// '#' nor a leading '+' covers topics that begin with '$' [MQTT-4.7.2-1], and
// neither does a leading placeholder: a client identifier is the client's
// choice, and must not open $SYS.
//
// A policy for plain identities is not for clients whose username or client
// identifier holds '/', '+' or '#', whatever its topics are.
//
// A PUBLISH is allowed where one Allow rule permits it as a whole: topic,
// quality of service and retain flag. Nobody publishes below $SYS/ but the broker.
//
// A SUBSCRIBE is granted where one Allow rule covers every topic that its filter
// can match, up to the highest quality of service of such rules. A Deny rule
// that covers the whole filter refuses it; one that overlaps it in part leaves
// it granted, and Receive withholds the messages. A shared subscription
// $share/G/F is judged on F, by rules that name F and by rules that name
// $share/G/F; the latter speak of nothing but that group, which may be a
// placeholder. Messages of a shared subscription are withheld by ReceiveShared.
//
// A Deny rule denies the whole: its MaxQoS and Retain have no meaning.
//
// # Failed logins
//
// Wrong passwords cost their client address and the username that they were
// tried for. An address has 100 failures at once, and gains one each tenth of a
// second; a username has 10, and gains one each two seconds. Who is out of them
// is refused without a look at the password, with the answer that a wrong one
// gets. A username that is being guessed at is not locked: an address that has
// not failed for that username within the last ten seconds has one attempt
// whatever others did, and credentials that have verified before are never
// refused. Success costs nothing.
//
// A credential that was wrong is remembered, too, until a hash of its user changes.
// Whoever repeats it guesses nothing new: it fails again, at once and at no cost.
// The answer and its time are the same whether or not the user exists.
//
// What is under way has not failed yet: a client may take seconds to answer in an
// exchange, and one that it does not finish has failed. There may be 500 attempts
// under way from an address, and 50 for a username; more are told that the server
// is busy, but for the one attempt that an address always has. Those that fail all
// count. So whatever is tried at once, in t seconds an address has no more than
// 100 + 500 + 10t guesses, and all addresses that have just failed for a username
// together no more than 10 + 50 + t/2.
//
// The addresses of IPv6 count by their /64. Behind a load balancer that hides
// client addresses all clients share one: use the PROXY protocol.
package auth
