package broker

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"golang.org/x/time/rate"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// reasonDenied is that of events about what the rules refused.
const reasonDenied = "Denied"

// reasonTooLarge is that of events about messages that are larger than a limit.
const reasonTooLarge = "PacketTooLarge"

const (
	// denialQuiet is how long the same denial is not told again, and how old one
	// may be that is told.
	denialQuiet = 10 * time.Minute
	// denialEvery and denialsAtOnce bound the events about denials of one Broker,
	// whatever its clients do.
	denialEvery   = 10 * time.Second
	denialsAtOnce = 20
	// maxShownTopic bounds what is shown of a topic, in bytes. A pod has cut it
	// before, but is not taken at its word.
	maxShownTopic = 200
	// maxNote is the longest note that the API server takes of an event, in bytes.
	maxNote = 1024
)

// tellDenials makes events of what the pods say that the rules refused of late. It
// writes them itself: a recorder would take those of one object for one event. That
// one cannot be written is logged, and keeps nothing else from being done.
func (r *Reconciler) tellDenials(ctx context.Context, s *scope) {
	for _, e := range r.denials.events(s, time.Now()) {
		if err := r.Client.Create(ctx, e); err != nil {
			log.FromContext(ctx).Error(err, "tell what the rules refused", "of", e.Regarding.Name)
		}
	}
}

// events tells news of denials: of the MQTTUser, or of the Broker where a client
// has no credentials, and of the TopicACL that denies it. Names are escaped: they
// are the choice of clients.
func (d *denials) events(s *scope, now time.Time) (events []*eventsv1.Event) {
	whose := func(username string) *corev1.ObjectReference {
		if username == "" {
			return reference(v1alpha1.KindBroker, s.key(), s.broker.UID)
		}
		return holder(s.rendered, username)
	}
	news := d.news(s.key(), s.pods, whose, now)
	if len(news) == 0 {
		return nil
	}
	rules, err := render.CompileRules(s.rendered)
	if err != nil {
		s.fail(err)
		return nil
	}
	tell := func(of *corev1.ObjectReference, note string, args ...any) {
		events = append(events, deniedEvent(of, fmt.Sprintf(note, args...), now))
	}
	for _, x := range news {
		if x.action == deniedSize {
			events = append(events, x.tooLarge(now))
			continue
		}
		action, why := deniedActions[x.action], x.explained(rules)
		switch {
		case why.By == nil:
			tell(x.of, "%s %q was refused: %s", action, x.topic, why.Reason)
		case x.of.Namespace == why.By.ACL.Namespace:
			tell(x.of, "%s %q was refused: %s", action, x.topic, why.By)
		default:
			tell(x.of, "%s %q was refused: a TopicACL of another namespace denies it", action, x.topic)
		}
		if acl := s.guard(x.of, why.By); acl != nil {
			tell(acl, "user %q was refused to %s %q by spec.rules[%d]", x.user, action, x.topic, why.By.Index)
		}
	}
	return events
}

// deniedEvent is an event as a recorder would write it.
func deniedEvent(of *corev1.ObjectReference, note string, now time.Time) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: of.Namespace, GenerateName: of.Name + "-"},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "godwit",
		ReportingInstance:   "godwit-operator",
		Type:                corev1.EventTypeWarning,
		Reason:              reasonDenied,
		Action:              "Authorize",
		Regarding:           *of,
		Note:                cut(note, maxNote),
	}
}

// tooLarge is the event of a message that was larger than a limit allows.
func (d deniedOf) tooLarge(now time.Time) *eventsv1.Event {
	note := fmt.Sprintf("a client that sent a message to %q was disconnected: %s", d.topic, d.limit)
	if d.topic == "" {
		note = "a client that sent a message was disconnected: " + d.limit
	}
	e := deniedEvent(d.of, note, now)
	e.Reason, e.Action = reasonTooLarge, "Publish"
	return e
}

func reference(kind string, key types.NamespacedName, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Namespace: key.Namespace, Name: key.Name, UID: uid,
	}
}

// guard returns the TopicACL that denies something to a client of the object's, to
// be told of it; nil where its namespace is neither the object's nor the Broker's,
// and may not know.
func (s *scope) guard(of *corev1.ObjectReference, by *render.DenyRule) *corev1.ObjectReference {
	if by == nil || by.ACL.Namespace != of.Namespace && by.ACL.Namespace != s.broker.Namespace {
		return nil
	}
	for _, a := range s.rendered.ACLs {
		if a.Key == by.ACL {
			return reference(v1alpha1.KindTopicACL, a.Key, a.UID)
		}
	}
	return nil
}

// explained says by the rules of now why it is refused.
func (d deniedOf) explained(rules *render.Rules) render.Refusal {
	if d.action == "subscribe" {
		return rules.WhySubscribe(d.user, d.topic)
	}
	return rules.WhyPublish(d.user, d.topic)
}

// deniedActions are the actions that pods tell of, as a person says them.
var deniedActions = map[string]string{
	"publish":   "publish to",
	"subscribe": "subscribe to",
	"will":      "leave a will on",
	deniedSize:  "send as much to",
}

// deniedSize is the action of a message that was larger than a limit allows.
const deniedSize = "size"

// holder returns the MQTTUser that has the username, nil where nobody does.
func holder(out *render.Output, username string) *corev1.ObjectReference {
	for _, u := range out.Users {
		if u.Username == username && u.Verdict.Accepted() {
			return reference(v1alpha1.KindMQTTUser, u.Key, u.UID)
		}
	}
	return nil
}

// denials remembers what was told of each Broker. It is bounded by the rate at
// which denials are told.
type denials struct {
	mu      sync.Mutex
	brokers map[types.NamespacedName]*toldDenials
}

type toldDenials struct {
	pace *rate.Limiter
	at   map[denial]time.Time
}

// denial is what makes two the same.
type denial struct{ user, action, topic string }

// deniedOf is a denial to be told of an object.
type deniedOf struct {
	denial
	of    *corev1.ObjectReference
	limit string // what a message was beyond, where its size was the reason
}

// news returns what is to be told of the answers of a Broker's pods, and counts on
// its being done. whose returns the object of a username, nil where there is none.
func (d *denials) news(broker types.NamespacedName, answers []podAnswer, whose func(username string) *corev1.ObjectReference, now time.Time) []deniedOf {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := d.of(broker)
	told.forgetBefore(now.Add(-denialQuiet))
	var news []deniedOf
	for _, a := range answers {
		for _, x := range a.status.Denials {
			key, ok := told.isNews(x, now)
			if !ok {
				continue
			}
			if object := whose(key.user); object != nil && told.pace.AllowN(now, 1) {
				told.at[key] = now
				news = append(news, deniedOf{key, object, cut(x.Limit, maxShownTopic)})
			}
		}
	}
	return news
}

func (d *denials) of(broker types.NamespacedName) *toldDenials {
	told := d.brokers[broker]
	if told == nil {
		if d.brokers == nil {
			d.brokers = map[types.NamespacedName]*toldDenials{}
		}
		told = &toldDenials{pace: rate.NewLimiter(rate.Every(denialEvery), denialsAtOnce), at: map[denial]time.Time{}}
		d.brokers[broker] = told
	}
	return told
}

// forget drops the memory of a Broker that is gone.
func (d *denials) forget(broker types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.brokers, broker)
}

func (t *toldDenials) forgetBefore(past time.Time) {
	for key, at := range t.at {
		if at.Before(past) {
			delete(t.at, key)
		}
	}
}

// isNews says whether a denial is recent, of a known kind, and not told yet.
func (t *toldDenials) isNews(d admin.Denial, now time.Time) (denial, bool) {
	key := denial{d.User, d.Action, cut(d.Topic, maxShownTopic)}
	_, told := t.at[key]
	return key, !told && deniedActions[d.Action] != "" && now.Sub(d.Last) < denialQuiet
}

// cut cuts a text between two characters, to so many bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
