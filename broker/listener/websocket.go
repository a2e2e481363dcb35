package listener

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gobwas/ws"
)

// WebSocket is the server's side of one WebSocket connection, as a
// transformation of bytes without I/O: what the client sends goes through Open
// until that is done, and then through Decode. Its zero value is a connection
// that has just been accepted.
type WebSocket struct {
	open       bool
	request    []byte // of the upgrade, while it is not complete
	reader     bytes.Reader
	header     []byte // of a frame, while it is not complete
	frame      ws.Header
	left       int64  // payload bytes of the frame that have not come yet
	control    []byte // payload of a control frame
	fragmented bool   // a message goes on in the next data frame
}

// Path of the WebSocket endpoint, and the subprotocol that a client has to
// offer [MQTT-6.0.0-3].
const (
	Path        = "/mqtt"
	Subprotocol = "mqtt"
)

// maxRequest bounds the upgrade request, in bytes.
const maxRequest = 8 << 10

// IsOpen reports whether the upgrade is done.
func (w *WebSocket) IsOpen() bool { return w.open }

// Open takes bytes of the upgrade request. When it is complete, response is what
// has to be sent, and rest what came after it. With an error the connection is
// over once the response, if any, was sent.
func (w *WebSocket) Open(data []byte) (response, rest []byte, err error) {
	before := len(w.request)
	w.request = append(w.request, data...)
	end := bytes.Index(w.request, []byte("\r\n\r\n"))
	if end < 0 {
		if len(w.request) > maxRequest {
			return nil, nil, errors.New("the WebSocket upgrade request is too large")
		}
		return nil, nil, nil
	}
	end += 4
	response, err = upgrade(w.request[:end])
	w.request, w.open = nil, err == nil
	return response, data[end-before:], err
}

// upgrade answers an upgrade request.
func upgrade(request []byte) (response []byte, err error) {
	var offered bool
	u := ws.Upgrader{
		Protocol: func(p []byte) bool {
			match := string(p) == Subprotocol
			offered = offered || match
			return match
		},
		OnRequest: func(uri []byte) error {
			if path, _, _ := strings.Cut(string(uri), "?"); path != Path {
				return ws.RejectConnectionError(ws.RejectionStatus(404), ws.RejectionReason("the path is "+Path))
			}
			return nil
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if !offered {
				return nil, ws.RejectConnectionError(ws.RejectionStatus(400), ws.RejectionReason("the subprotocol is "+Subprotocol))
			}
			return nil, nil
		},
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

// Decode takes frames of the client. payload is the bytes of MQTT in them, moved
// to the front of data; reply is what has to be sent at once. io.EOF says that
// the client has closed the WebSocket.
func (w *WebSocket) Decode(data []byte) (payload, reply []byte, err error) {
	payload = data[:0]
	for len(data) > 0 && err == nil {
		if w.left == 0 {
			if data, err = w.readHeader(data); err != nil || w.header != nil {
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
			reply, err = w.controlled(reply)
		}
	}
	return payload, reply, err
}

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
		return nil, fmt.Errorf("read WebSocket frame: %w", err)
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
		return fmt.Errorf("read WebSocket frame: %w", err)
	}
	if w.frame.OpCode == ws.OpText {
		return errors.New("read WebSocket frame: MQTT is carried in binary frames, and this one is text")
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
		return append(reply, CloseFrame()...), io.EOF
	default:
		return reply, nil
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

// CloseFrame ends a WebSocket in good order.
func CloseFrame() []byte {
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
}
