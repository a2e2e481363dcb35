package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/gobwas/ws"
)

// webSocket is the stream of bytes in the binary frames of a WebSocket, seen
// from the client. One goroutine may read and one may write.
type webSocket struct {
	net.Conn
	in   *bufio.Reader
	left int64 // bytes of the frame that were not read yet
}

// maxControl is the longest payload of a control frame, by RFC 6455.
const maxControl = 125

func openWebSocket(conn net.Conn, t target) (net.Conn, error) {
	d := ws.Dialer{Protocols: []string{"mqtt"}}
	in, handshake, err := d.Upgrade(conn, &url.URL{Scheme: "ws", Host: t.address, Opaque: t.path})
	switch {
	case err != nil:
		return nil, fmt.Errorf("WebSocket: %w", err)
	case handshake.Protocol != "mqtt":
		return nil, errors.New("WebSocket: the broker did not agree to the subprotocol mqtt")
	case in == nil:
		in = bufio.NewReaderSize(conn, streamRead)
	}
	return &webSocket{Conn: conn, in: in}, nil
}

func (w *webSocket) Read(b []byte) (int, error) {
	for w.left == 0 {
		if err := w.nextFrame(); err != nil {
			return 0, err
		}
	}
	n, err := w.in.Read(b[:min(int64(len(b)), w.left)])
	w.left -= int64(n)
	return n, err
}

func (w *webSocket) nextFrame() error {
	h, err := ws.ReadHeader(w.in)
	switch {
	case err != nil:
		return err
	case !h.OpCode.IsControl():
		w.left = h.Length
		return nil
	case h.Length > maxControl:
		return errors.New("WebSocket: a control frame is too long")
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(w.in, payload); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpClose:
		return io.EOF
	case ws.OpPing:
		return w.write(ws.NewPongFrame(payload))
	default:
		return nil
	}
}

func (w *webSocket) Write(b []byte) (int, error) {
	if err := w.write(ws.NewBinaryFrame(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// write sends a frame in one call, so that it stays whole beside another.
func (w *webSocket) write(f ws.Frame) error {
	frame, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return err
	}
	_, err = w.Conn.Write(frame)
	return err
}
