// Package router is the heart of the broker, without its sockets: it joins
// sessions, subscriptions, retained messages, authorization and the store.
//
// A PUBLISH runs through Worker.Publish: authorize, match, deliver. Each event
// loop owns one Worker, whose caches and buffers nobody else touches; what
// Workers share is behind these locks, taken in this order:
//
//  1. a shard of the session registry
//  2. one Subscriber
//  3. the order of a topic's retained messages
//  4. leaves: the subscription index, retained messages, timers, the store
//
// No Subscriber is locked while another one is.
package router
