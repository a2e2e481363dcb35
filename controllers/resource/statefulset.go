package resource

import (
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// What a broker pod looks like from inside.
const (
	// AdminPort serves health, metrics and status.
	AdminPort = 9883
	// SettingsDir, AccessDir, TLSDir, ClientCADir and DataDir are where volumes
	// are mounted; TLSDir and ClientCADir hold a directory a listener.
	SettingsDir = "/etc/godwit/settings"
	AccessDir   = "/etc/godwit/access"
	TLSDir      = "/etc/godwit/tls"
	ClientCADir = "/etc/godwit/client-ca"
	DataDir     = "/var/lib/godwit"

	// ContainerName of the broker in its pod.
	ContainerName = "broker"
	// DataVolume is mounted at DataDir; the claim of a pod is named after it and the pod.
	DataVolume = "data"
	nonRoot    = 65532
	// afterDrain is the time that a pod has left when its drain timed out.
	afterDrain = 30 * time.Second
)

// StatefulSet runs the broker pods. Its template does not depend on the content
// of the configuration, which the broker takes up while it runs.
func StatefulSet(b *v1alpha1.Broker, image string) *appsv1.StatefulSet {
	set := &appsv1.StatefulSet{
		ObjectMeta: meta(b, b.Name),
		Spec: appsv1.StatefulSetSpec{
			Replicas:            b.Spec.Replicas,
			ServiceName:         HeadlessName(b),
			Selector:            &metav1.LabelSelector{MatchLabels: Selector(b)},
			PodManagementPolicy: appsv1.ParallelPodManagement,
			Template:            podTemplate(b, image),
		},
	}
	if *b.Spec.Persistence.Enabled {
		set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{volumeClaim(b)}
		set.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.PersistentVolumeClaimRetentionPolicyType(b.Spec.Persistence.ReclaimPolicy),
			WhenScaled:  appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		}
	}
	return set
}

// volumeClaim has only labels that never change, because the template of a
// StatefulSet's volumes cannot.
func volumeClaim(b *v1alpha1.Broker) corev1.PersistentVolumeClaim {
	return corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: DataVolume, Labels: Selector(b)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: b.Spec.Persistence.StorageClassName,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: *b.Spec.Persistence.Size},
			},
		},
	}
}

func podTemplate(b *v1alpha1.Broker, image string) corev1.PodTemplateSpec {
	theirs := b.Spec.Template
	volumes, mounts := podVolumes(b)
	grace := b.Spec.UpdateStrategy.Drain.Timeout.Duration + afterDrain
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      merged(theirs.Metadata.Labels, Labels(b)),
			Annotations: theirs.Metadata.Annotations,
		},
		Spec: corev1.PodSpec{
			ServiceAccountName:            b.Name,
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			TerminationGracePeriodSeconds: new(int64(grace.Seconds())),
			SecurityContext:               podSecurity(b),
			Containers:                    []corev1.Container{container(b, image, mounts)},
			Volumes:                       volumes,
			NodeSelector:                  theirs.Spec.NodeSelector,
			Tolerations:                   theirs.Spec.Tolerations,
			Affinity:                      theirs.Spec.Affinity,
			TopologySpreadConstraints:     theirs.Spec.TopologySpreadConstraints,
			PriorityClassName:             theirs.Spec.PriorityClassName,
			RuntimeClassName:              theirs.Spec.RuntimeClassName,
			SchedulerName:                 theirs.Spec.SchedulerName,
			ImagePullSecrets:              theirs.Spec.ImagePullSecrets,
		},
	}
}

// podSecurity meets the restricted Pod Security Standard.
func podSecurity(b *v1alpha1.Broker) *corev1.PodSecurityContext {
	s := &corev1.PodSecurityContext{
		RunAsNonRoot:        new(true),
		RunAsUser:           new(int64(nonRoot)),
		RunAsGroup:          new(int64(nonRoot)),
		FSGroup:             new(int64(nonRoot)),
		FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
		SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for _, l := range b.Spec.Listeners {
		if l.Port < 1024 { // which is only for root by default
			s.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
		}
	}
	return s
}

func container(b *v1alpha1.Broker, image string, mounts []corev1.VolumeMount) corev1.Container {
	return corev1.Container{
		Name:  ContainerName,
		Image: image,
		Args: []string{
			"broker",
			"--settings-dir=" + SettingsDir,
			"--access-dir=" + AccessDir,
			"--data-dir=" + DataDir,
			fmt.Sprintf("--admin-address=:%d", AdminPort),
		},
		Env:       environment(b),
		Ports:     containerPorts(b),
		Resources: compute(b),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		// Patient probes: a broker that recovers a large store, or shares a busy
		// node, is not helped by being killed.
		StartupProbe:   probe("/livez", 1, 600),
		LivenessProbe:  probe("/livez", 10, 6),
		ReadinessProbe: probe("/readyz", 5, 3),
		VolumeMounts:   mounts,
		// Why it ended is in its last line, which the Broker's conditions show.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// compute is what the broker container asks for: little where the spec asks for
// nothing, so that it is neither placed on a full node nor the first to go.
func compute(b *v1alpha1.Broker) corev1.ResourceRequirements {
	r := b.Spec.Resources
	if len(r.Requests) > 0 || len(r.Limits) > 0 || len(r.Claims) > 0 {
		return r
	}
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    apiresource.MustParse("100m"),
		corev1.ResourceMemory: apiresource.MustParse("128Mi"),
	}}
}

// environment tells the broker's runtime to stay below the memory limit, where
// there is one: it collects garbage sooner rather than be killed. Nine tenths
// leave room for what the runtime does not count, which the downward API could
// not express.
func environment(b *v1alpha1.Broker) []corev1.EnvVar {
	limit := b.Spec.Resources.Limits.Memory().Value()
	if limit == 0 {
		return nil
	}
	return []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: strconv.FormatInt(limit/10*9, 10)}}
}

func containerPorts(b *v1alpha1.Broker) []corev1.ContainerPort {
	ports := []corev1.ContainerPort{{Name: "admin", ContainerPort: AdminPort, Protocol: corev1.ProtocolTCP}}
	for _, l := range b.Spec.Listeners {
		ports = append(ports, corev1.ContainerPort{Name: l.Name, ContainerPort: l.Port, Protocol: corev1.ProtocolTCP})
	}
	return ports
}

// probe asks the admin endpoint every so many seconds, until so many failures.
func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin")},
		},
		PeriodSeconds:    period,
		TimeoutSeconds:   5,
		FailureThreshold: failures,
	}
}
