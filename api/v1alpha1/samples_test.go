package v1alpha1_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

func TestSamplesAreAccepted(t *testing.T) {
	ns := env.Namespace(t, nil)
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples:", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
			obj := &unstructured.Unstructured{}
			if err := d.Decode(obj); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			obj.SetNamespace(ns)
			if err := env.Client.Create(t.Context(), obj, client.FieldValidation("Strict")); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	b := testenv.Broker(ns, "edge")
	env.Create(t, testenv.TLSSecret(t, ns, "edge-tls", map[string]string{"cert-manager.io/certificate-name": "edge-tls"}))
	env.RunPod(t, b)
	env.WaitFor(t, b, testenv.Ready)
	if b.Status.Users.Accepted != 2 || b.Status.Users.Rejected != 0 {
		t.Errorf("users %+v", b.Status.Users)
	}
}
