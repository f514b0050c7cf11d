// One binary that runs as etcd, kube-apiserver or kube-controller-manager,
// depending on the name it is called with. One binary needs one link step and
// one file on disk instead of three. Tests and the demo run the control plane
// with it, without Docker.
//
// With the build tag controller_manager_only the binary contains only
// kube-controller-manager, for machines that already have the other two.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/component-base/cli"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

var commands = map[string]func(){
	"kube-controller-manager": func() {
		os.Exit(cli.Run(manager.NewControllerManagerCommand()))
	},
}

func main() {
	name := filepath.Base(os.Args[0])
	run, ok := commands[name]
	if !ok {
		names := slices.Sorted(maps.Keys(commands))
		fmt.Fprintf(os.Stderr, "called as %q: call it as %s\n", name, strings.Join(names, " or "))
		os.Exit(2)
	}
	run()
}
