// Command provisioner makes a directory of this node for each PersistentVolumeClaim of its storage
// class, as a "local" volume, so that fsGroup works as it does on real storage. Capacity is not
// enforced.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func main() {
	name := flag.String("name", "godwit.io/local-directory", "provisioner name that storage classes refer to")
	root := flag.String("root", "", "directory of the node that holds the volumes, mounted here under the same path")
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig; empty: the service account of the pod")
	klog.InitFlags(nil)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *name, *root, *kubeconfig); err != nil {
		klog.Fatal(err)
	}
}

func run(ctx context.Context, name, root, kubeconfig string) error {
	if !filepath.IsAbs(root) {
		return errors.New("-root must be an absolute path")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller.NewProvisionController(ctx, client, name, directories{root},
		controller.LeaderElection(false)).Run(ctx)
	return nil
}

// directories provisions volumes as directories under root.
type directories struct{ root string }

// Provision makes the directory of a claim and describes it as a volume of the selected node.
func (d directories) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished,
			errors.New("no node selected: the storage class needs volumeBindingMode WaitForFirstConsumer")
	}
	path := filepath.Join(d.root, o.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("make volume: %w", err)
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			VolumeMode:                    o.PVC.Spec.VolumeMode,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: path},
			},
			NodeAffinity: onNode(o.SelectedNodeName),
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the directory of a released volume whose reclaim policy is Delete.
func (d directories) Delete(_ context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.Local == nil || filepath.Dir(pv.Spec.Local.Path) != filepath.Clean(d.root) {
		return fmt.Errorf("volume %s is not a directory of %s", pv.Name, d.root)
	}
	return os.RemoveAll(pv.Spec.Local.Path)
}

func onNode(name string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{
				Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{name},
			}},
		}},
	}}
}
