package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// WebSocket is the server's side of one WebSocket connection, as a
// transformation of bytes without I/O: what the client sends goes through Open
// until that is done, and then through Decode. Its zero value is a connection
// that has just been accepted.
type WebSocket struct {
	open       bool
	fragmented bool          // a message goes on in the next data frame
	status     ws.StatusCode // of the close frame that ends it; 0 is none yet
	request    []byte        // of the upgrade, while it is not complete
	reader     bytes.Reader
	header     []byte // of a frame, while it is not complete
	frame      ws.Header
	left       int64  // payload bytes of the frame that have not come yet
	control    []byte // payload of a control frame
	err        error  // how the client has ended it
}

// subprotocols that a client may offer, the preferred one first
// [MQTT-6.0.0-3]. Clients that were written before MQTT 3.1.1 offer the second
// alone.
var subprotocols = [...]string{"mqtt", "mqttv3.1"}

// maxRequest bounds the upgrade request, in bytes.
const maxRequest = 8 << 10

// tooLarge answers a request that is larger.
const tooLarge = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// IsOpen reports whether the upgrade is done.
func (w *WebSocket) IsOpen() bool { return w.open }

// Open takes bytes of the upgrade request, which is judged by c; nil is the
// default. When it is complete, response is what has to be sent, and rest what
// came after it. With an error the connection is over once the response, if any,
// was sent.
func (w *WebSocket) Open(data []byte, c *config.WebSocket) (response, rest []byte, err error) {
	const end = "\r\n\r\n"
	before := len(w.request)
	w.request = append(w.request, data[:min(len(data), maxRequest-before)]...)
	looked := max(before-len(end)+1, 0)
	switch n := bytes.Index(w.request[looked:], []byte(end)); {
	case n >= 0:
		size := looked + n + len(end)
		response, err = upgrade(w.request[:size], c)
		w.request, w.open = nil, err == nil
		return response, data[size-before:], err
	case len(w.request) == maxRequest:
		return []byte(tooLarge), nil, fmt.Errorf("upgrade to WebSocket: the request is larger than %d bytes", maxRequest)
	default:
		return nil, nil, nil
	}
}

// upgrade answers an upgrade request.
func upgrade(request []byte, c *config.WebSocket) (response []byte, err error) {
	var offered [len(subprotocols)]bool
	u := ws.Upgrader{
		OnRequest: func(uri []byte) error { return vetPath(string(uri), c.PathOrDefault()) },
		OnHeader:  func(key, value []byte) error { return vetOrigin(string(key), string(value), c) },
		ProtocolCustom: func(list []byte) (string, bool) {
			for offer := range strings.SplitSeq(string(list), ",") {
				if i := slices.Index(subprotocols[:], strings.TrimSpace(offer)); i >= 0 {
					offered[i] = true
				}
			}
			return "", true
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) { return choose(offered[:]) },
	}
	var out bytes.Buffer
	_, err = u.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(request), &out})
	if err != nil {
		err = fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	return out.Bytes(), err
}

// vetPath judges the target of a request: a path or an absolute URL, whose path
// may have more slashes than it needs.
func vetPath(target, want string) error {
	u, err := url.ParseRequestURI(target)
	if err == nil && path.Clean("/"+u.Path) == path.Clean(want) {
		return nil
	}
	return ws.RejectConnectionError(ws.RejectionStatus(404), ws.RejectionReason("the path is "+want))
}

// vetOrigin judges a header. Browsers say in Origin where the page comes from
// that connects, and nobody else has a reason to.
func vetOrigin(key, value string, c *config.WebSocket) error {
	if key != "Origin" || c.Admits(value) {
		return nil
	}
	return ws.RejectConnectionError(ws.RejectionStatus(403), ws.RejectionReason("the origin is not in webSocket.allowedOrigins"))
}

// choose answers the subprotocols that a client has offered.
func choose(offered []bool) (ws.HandshakeHeader, error) {
	i := slices.Index(offered, true)
	if i < 0 {
		return nil, ws.RejectConnectionError(ws.RejectionStatus(400), ws.RejectionReason("the subprotocol is "+subprotocols[0]))
	}
	return ws.HandshakeHeaderString("Sec-WebSocket-Protocol: " + subprotocols[i] + "\r\n"), nil
}

// Decode takes frames of the client. payload is the bytes of MQTT in them, moved
// to the front of data; reply is what has to be sent at once. With an error,
// nothing is taken any more, and Err returns it; what came before it is good.
func (w *WebSocket) Decode(data []byte) (payload, reply []byte, err error) {
	payload = data[:0]
	for len(data) > 0 && w.err == nil {
		if w.left == 0 {
			if data, w.err = w.readHeader(data); w.err != nil || w.header != nil {
				break
			}
		}
		n := min(int64(len(data)), w.left)
		part := data[:n]
		ws.Cipher(part, w.frame.Mask, int(w.frame.Length-w.left))
		w.left -= n
		data = data[n:]
		if !w.frame.OpCode.IsControl() {
			payload = append(payload, part...)
			continue
		}
		w.control = append(w.control, part...)
		if w.left == 0 {
			reply, w.err = w.controlled(reply)
		}
	}
	return payload, reply, w.err
}

// Err returns how the client has ended the WebSocket: nil while it has not,
// io.EOF after a close frame, and else what was wrong with a frame.
func (w *WebSocket) Err() error { return w.err }

// readHeader reads the header of the next frame. It keeps one that is not
// complete in w.header.
func (w *WebSocket) readHeader(data []byte) (rest []byte, err error) {
	before := len(w.header)
	w.header = append(w.header, data[:min(len(data), ws.MaxHeaderSize)]...)
	w.reader.Reset(w.header)
	w.frame, err = ws.ReadHeader(&w.reader)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	}
	if err != nil {
		return nil, w.broken(ws.StatusProtocolError, err)
	}
	read := len(w.header) - w.reader.Len() - before
	w.header, w.left, w.control = nil, w.frame.Length, w.control[:0]
	return data[read:], w.check()
}

// check refuses what a client may not send, text among it [MQTT-6.0.0-1].
func (w *WebSocket) check() error {
	state := ws.StateServerSide
	if w.fragmented {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(w.frame, state); err != nil {
		return w.broken(ws.StatusProtocolError, err)
	}
	if w.frame.OpCode == ws.OpText {
		return w.broken(ws.StatusUnsupportedData, errors.New("MQTT is carried in binary frames, and this one is text"))
	}
	if !w.frame.OpCode.IsControl() {
		w.fragmented = !w.frame.Fin
	}
	return nil
}

// controlled handles a complete control frame.
func (w *WebSocket) controlled(reply []byte) ([]byte, error) {
	switch w.frame.OpCode {
	case ws.OpPing:
		return append(reply, ws.MustCompileFrame(ws.NewPongFrame(w.control))...), nil
	case ws.OpClose:
		return reply, w.closed()
	default:
		return reply, nil
	}
}

// closed handles a close frame of the client, which is answered with its own
// status.
func (w *WebSocket) closed() error {
	if len(w.control) == 0 {
		w.CloseWith(ws.StatusNoStatusRcvd)
		return io.EOF
	}
	if len(w.control) == 1 {
		return w.broken(ws.StatusProtocolError, errors.New("a close frame with half a status code"))
	}
	status := ws.StatusCode(binary.BigEndian.Uint16(w.control))
	switch {
	case !mayClose(status):
		return w.broken(ws.StatusProtocolError, fmt.Errorf("a close frame with status %d", status))
	case !utf8.Valid(w.control[2:]):
		return w.broken(ws.StatusInvalidFramePayloadData, errors.New("a close frame whose reason is not UTF-8"))
	}
	w.CloseWith(status)
	return io.EOF
}

// mayClose reports whether a close frame may have a status: one that is defined to
// be sent, or that libraries and applications define for themselves.
func mayClose(status ws.StatusCode) bool {
	return status >= 1000 && status <= 1003 || status >= 1007 && status <= 1014 || status >= 3000 && status <= 4999
}

// broken says what is wrong with a frame, and to the client with what status.
func (w *WebSocket) broken(status ws.StatusCode, err error) error {
	w.CloseWith(status)
	return fmt.Errorf("read WebSocket frame: %w", err)
}

// CloseWith sets the status of the close frame, if none is set: the first reason
// to end a WebSocket is the one that its client is told.
func (w *WebSocket) CloseWith(status ws.StatusCode) {
	if w.status == 0 {
		w.status = status
	}
}

// AppendHeader appends the header of a binary frame whose payload is n bytes.
func AppendHeader(dst []byte, n int) []byte {
	const finBinary = 0x80 | byte(ws.OpBinary)
	switch {
	case n < 126:
		return append(dst, finBinary, byte(n))
	case n < 1<<16:
		return append(dst, finBinary, 126, byte(n>>8), byte(n))
	default:
		return append(dst, finBinary, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// CloseFrame returns the frame that ends the WebSocket, to be sent once: in
// answer to the client's own, or for the reason that CloseWith was told of, and
// else in good order.
func (w *WebSocket) CloseFrame() []byte {
	switch w.CloseWith(ws.StatusNormalClosure); w.status {
	case ws.StatusNoStatusRcvd: // the client gave none
		return ws.MustCompileFrame(ws.NewCloseFrame(nil))
	default:
		return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(w.status, "")))
	}
}
