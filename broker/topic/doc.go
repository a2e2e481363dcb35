// Package topic holds what MQTT says about topic names and topic filters: their
// validation, the relations between them, and the index that finds the
// subscriptions of a published topic.
//
// Names and filters are sequences of bytes here. Whether they are well-formed
// UTF-8 is the codec's business; nothing is normalized ([MQTT-4.7.3-4]).
package topic
