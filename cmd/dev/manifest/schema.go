package manifest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiservercel "k8s.io/apiserver/pkg/apis/cel"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/config/crd"
)

// definition judges the objects of one kind.
type definition struct {
	structural *schema.Structural
	openapi    validation.SchemaValidator
	rules      *cel.Validator
}

// definitions returns the project's kinds by name.
var definitions = sync.OnceValues(func() (map[string]*definition, error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	kinds := make(map[string]*definition, len(files))
	for _, file := range files {
		content, err := crd.Bases.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var c apiextensionsv1.CustomResourceDefinition
		if err := sigsyaml.UnmarshalStrict(content, &c); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if kinds[c.Spec.Names.Kind], err = newDefinition(&c); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return kinds, nil
})

func newDefinition(c *apiextensionsv1.CustomResourceDefinition) (*definition, error) {
	for _, version := range c.Spec.Versions {
		if version.Name != v1alpha1.GroupVersion.Version {
			continue
		}
		var props apiextensions.JSONSchemaProps
		err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			version.Schema.OpenAPIV3Schema, &props, nil)
		if err != nil {
			return nil, err
		}
		structural, err := schema.NewStructural(&props)
		if err != nil {
			return nil, err
		}
		openapi, _, err := validation.NewSchemaValidator(&props)
		if err != nil {
			return nil, err
		}
		rules := cel.NewValidator(structural, true, apiservercel.PerCallLimit)
		return &definition{structural, openapi, rules}, nil
	}
	return nil, fmt.Errorf("no version %s", v1alpha1.GroupVersion.Version)
}

// judge does to the object what the API server does on creation: it refuses
// unknown fields, fills in defaults, and checks the schema and then the rules.
func (d *document) judge(kind *definition) []error {
	var problems []*Problem
	unknown := pruning.PruneWithOptions(d.object, kind.structural, true,
		schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		problems = append(problems, d.problem(path, "unknown field: remove it or correct its spelling"))
	}
	defaulting.Default(d.object, kind.structural)
	defaulting.PruneNonNullableNullsWithoutDefaults(d.object, kind.structural)
	invalid := validation.ValidateCustomResource(nil, d.object, kind.openapi)
	invalid = append(invalid, listtype.ValidateListSetsAndMaps(nil, kind.structural, d.object)...)
	if len(invalid) == 0 && kind.rules != nil {
		// Rules may count on what the schema says, so they come after it.
		invalid, _ = kind.rules.Validate(context.Background(), nil, kind.structural, d.object, nil,
			apiservercel.RuntimeCELCostBudget)
	}
	for _, err := range invalid {
		problems = append(problems, d.problem(trimPath(err.Field), "%s", message(err)))
	}
	slices.SortStableFunc(problems, func(a, b *Problem) int { return a.Line - b.Line })
	return toErrors(problems)
}

func toErrors(problems []*Problem) []error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, p)
	}
	return errs
}

// trimPath drops the marks of the root that field paths may carry.
func trimPath(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "<nil>"), ".")
}

// message is the text of a field error without what the place of it says
// already.
func message(err *field.Error) string {
	detail := strings.TrimPrefix(err.Detail, err.Field+" in body ")
	switch err.Type {
	case field.ErrorTypeRequired:
		if detail == "" || detail == "Required value" {
			return "is missing"
		}
		return "is missing: " + detail
	case field.ErrorTypeNotSupported, field.ErrorTypeDuplicate:
		return err.ErrorBody()
	default:
		if detail == "" {
			return err.ErrorBody()
		}
		return detail
	}
}
