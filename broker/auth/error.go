package auth

import "github.com/godwit-mqtt/godwit/broker/packet"

// Error is a refused login. Its text is for the log, not for the client, which
// learns no more than Code.
type Error struct {
	Code packet.ReasonCode // for the CONNACK

	text string
}

func (e *Error) Error() string { return e.text }

// The reasons for which a login is refused. All errors of Authenticate are one
// of them.
var (
	// ErrBadCredentials: there is no such user, or the password is wrong.
	ErrBadCredentials = &Error{packet.ReasonBadUserNameOrPassword, "bad user name or password"}
	// ErrThrottled: too many failures, so that the password was not looked at.
	// The client cannot tell it from ErrBadCredentials.
	ErrThrottled = &Error{packet.ReasonBadUserNameOrPassword, "too many failed logins"}
	// ErrBusy: too many logins of the user or from the address are under way.
	ErrBusy = &Error{packet.ReasonServerBusy, "too many logins are under way"}
	// ErrAnonymous: no credentials were presented, and they are required.
	ErrAnonymous = &Error{packet.ReasonNotAuthorized, "anonymous clients are not admitted"}
	// ErrCertificate: the client certificate is no user's, and nothing else was
	// presented that counts.
	ErrCertificate = &Error{packet.ReasonNotAuthorized, "the common name of the client certificate is no user's"}
	// ErrClientID: the user may not use the client identifier.
	ErrClientID = &Error{packet.ReasonClientIdentifierNotValid, "client identifier is not allowed for the user"}
)
