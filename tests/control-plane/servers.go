//go:build !controller_manager_only

package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func init() {
	commands["etcd"] = func() { etcdmain.Main(os.Args) }
	commands["kube-apiserver"] = func() {
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	}
}
