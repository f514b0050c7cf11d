// Checks how GitOps tools judge the health of Tenants, TenantClasses and SchemaRollouts: the two
// kstatus libraries (kubectl apply with pruning, kpt and others use the first,
// Flux the second) and Argo CD's health check in deploy/argocd.
//
// The objects in testdata are written by the controller's own code; a test of
// the controller compares them with it. An end-to-end test runs the same tests
// on objects of a real API server, in the file that GITOPS_STATES names.
package gitops

import (
	"os"
	"path/filepath"
	"testing"

	fluxstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

// state is an object in a certain state, and how tools have to judge it.
type state struct {
	Name string `json:"name"`
	// KStatus is the status that both libraries have to compute.
	KStatus string `json:"kstatus"`
	// ArgoCD is the health that Argo CD has to report.
	ArgoCD string         `json:"argocd"`
	Object map[string]any `json:"object"`
}

func states(t *testing.T) []state {
	t.Helper()
	var all []state
	var files []string
	for _, kind := range []string{"tenants", "tenantclasses", "schemarollouts"} {
		files = append(files, filepath.Join("testdata", kind+".json"))
	}
	if file := os.Getenv("GITOPS_STATES"); file != "" {
		files = []string{file}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var states []state
		if err := json.Unmarshal(text, &states); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(states) == 0 {
			t.Fatalf("%s contains no states", file)
		}
		all = append(all, states...)
	}
	return all
}

func TestBothKStatusLibrariesJudgeEveryState(t *testing.T) {
	for _, state := range states(t) {
		t.Run(state.Name, func(t *testing.T) {
			object := &unstructured.Unstructured{Object: state.Object}
			result, err := status.Compute(object)
			if err != nil {
				t.Fatal(err)
			}
			if result.Status.String() != state.KStatus {
				t.Errorf("sigs.k8s.io/cli-utils: got %s (%s), want %s", result.Status, result.Message, state.KStatus)
			}
			flux, err := fluxstatus.Compute(object)
			if err != nil {
				t.Fatal(err)
			}
			if flux.Status.String() != state.KStatus {
				t.Errorf("github.com/fluxcd/cli-utils: got %s (%s), want %s", flux.Status, flux.Message, state.KStatus)
			}
		})
	}
}

// health runs the health check as Argo CD does: the script gets the object as
// the global `obj` and returns a table.
func health(t *testing.T, object map[string]any) (string, string) {
	t.Helper()
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	// Argo CD opens only these libraries unless useOpenLibs is set.
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(library.open), NRet: 0, Protect: true}, lua.LString(library.name)); err != nil {
			t.Fatal(err)
		}
	}
	l.SetGlobal("obj", toLua(l, object))
	if err := l.DoFile(filepath.Join("..", "..", "deploy", "argocd", "health.lua")); err != nil {
		t.Fatal(err)
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returned %s, not a table", l.Get(-1).Type())
	}
	return lua.LVAsString(result.RawGetString("status")), lua.LVAsString(result.RawGetString("message"))
}

func toLua(l *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, field := range value {
			table.RawSetString(key, toLua(l, field))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, item := range value {
			table.Append(toLua(l, item))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	default:
		return lua.LNil
	}
}

func TestArgoCDJudgesEveryState(t *testing.T) {
	for _, state := range states(t) {
		t.Run(state.Name, func(t *testing.T) {
			got, message := health(t, state.Object)
			if got != state.ArgoCD {
				t.Errorf("got %s (%s), want %s", got, message, state.ArgoCD)
			}
			if message == "" {
				t.Error("the message is empty")
			}
		})
	}
}

func TestArgoCDJudgesAnObjectWithoutAStatus(t *testing.T) {
	object := map[string]any{"metadata": map[string]any{"generation": int64(1)}}
	if got, _ := health(t, object); got != "Progressing" {
		t.Errorf("got %s", got)
	}
}

// The ConfigMap patch contains a copy of the script for each kind.
func TestTheConfigMapContainsTheScript(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("..", "..", "deploy", "argocd", "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "argocd", "argocd-cm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Tenant", "TenantClass", "SchemaRollout"} {
		if configMap.Data["resource.customizations.health.dbpertenant.dev_"+kind] != string(script) {
			t.Errorf("the health check of %s differs from health.lua", kind)
		}
	}
}
