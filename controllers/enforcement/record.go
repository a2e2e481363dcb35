package enforcement

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

const notAccepted = "it is not accepted, and brokers know nothing of it"

// record is what is known of one Broker.
type record struct {
	// contents holds the digests of the objects in each revision that is the
	// newest or that a running pod answered last.
	contents map[string]map[types.UID]string
	// answers holds the revision that each instance answered last. The engine
	// never goes back to an older configuration, so an answer holds until its
	// instance ends.
	answers map[string]string

	// The maps are replaced, never changed.
	users, acls States
}

func newRecord() *record {
	return &record{contents: map[string]map[types.UID]string{}, answers: map[string]string{}}
}

// update takes up a configuration and the answers of all running pods.
func (r *record) update(out *render.Output, pods []Pod) {
	r.contents[out.Revision] = digests(out)
	answers := make(map[string]string, len(pods))
	for _, p := range pods {
		if p.Revision == "" {
			p.Revision = r.answers[p.Instance]
		}
		answers[p.Instance] = p.Revision
	}
	r.answers = answers
	r.dropContents(out.Revision)
	r.users = r.states(out.Users, pods)
	r.acls = r.states(out.ACLs, pods)
}

// dropContents forgets revisions that are neither the newest nor enforced.
func (r *record) dropContents(newest string) {
	keep := map[string]bool{newest: true}
	for _, revision := range r.answers {
		keep[revision] = true
	}
	for revision := range r.contents {
		if !keep[revision] {
			delete(r.contents, revision)
		}
	}
}

// states leaves out what is pending and keeps its place: what was said of it stays
// until more is known.
func (r *record) states(objects []render.Object, pods []Pod) States {
	states := make(States, len(objects))
	for _, o := range objects {
		if o.Pending && o.Verdict.Accepted() {
			continue
		}
		states[o.Key] = State{
			UID:          o.UID,
			Generation:   o.Generation,
			Accepted:     acceptedCondition(o.Verdict),
			Programmed:   r.programmed(o, pods),
			MatchedUsers: o.MatchedUsers,

			ShadowedRules: o.ShadowedRules,

			Admitted:      o.Admitted,
			SecretVersion: o.SecretVersion,
		}
	}
	return states
}

// programmed says whether every running pod enforces a configuration that holds
// the object as it is now.
func (r *record) programmed(o render.Object, pods []Pod) metav1.Condition {
	if !o.Verdict.Accepted() {
		return conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNotAccepted, notAccepted)
	}
	if len(pods) == 0 {
		return conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNoRunningPods, "no pod of the Broker is running")
	}
	for _, p := range pods {
		if r.contents[r.answers[p.Instance]][o.UID] != o.Digest {
			return conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonApplying, waiting(p))
		}
	}
	return conditions.True(v1alpha1.ConditionProgrammed, v1alpha1.ReasonProgrammed, "every running pod enforces it")
}

func waiting(p Pod) string {
	message := fmt.Sprintf("pod %s does not enforce it yet", p.Name)
	if p.Problem != "" {
		message += ": " + p.Problem
	}
	return message
}

func acceptedCondition(v render.Verdict) metav1.Condition {
	if v.Accepted() {
		return conditions.True(v1alpha1.ConditionAccepted, v.Reason, v.Message)
	}
	if v.Reason == v1alpha1.ReasonPending {
		return conditions.Unknown(v1alpha1.ConditionAccepted, v.Reason, v.Message)
	}
	return conditions.False(v1alpha1.ConditionAccepted, v.Reason, v.Message)
}

func digests(out *render.Output) map[types.UID]string {
	digests := make(map[types.UID]string, len(out.Users)+len(out.ACLs))
	for _, list := range [][]render.Object{out.Users, out.ACLs} {
		for _, o := range list {
			digests[o.UID] = o.Digest
		}
	}
	return digests
}
