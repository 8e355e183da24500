// Command kube is all that a node image needs of Kubernetes, and etcd, in one executable.
//
// It acts as the component by whose name it is called, like the executable without kubeadm one folder up, which the
// component store builds: that one is smaller, and most of its users have no nodes to set up.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var applets = map[string]any{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          scheduler.NewSchedulerCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
	"kubelet":                 kubelet.NewKubeletCommand,
}

// command calls a component's constructor, whose signature depends on the Kubernetes version: NewKubeletCommand takes a
// context since 1.34.
func command(constructor any) *cobra.Command {
	switch constructor := constructor.(type) {
	case func() *cobra.Command:
		return constructor()
	case func(context.Context) *cobra.Command:
		return constructor(context.Background())
	case func(...scheduler.Option) *cobra.Command:
		return constructor()
	default:
		fmt.Fprintf(os.Stderr, "kube: this Kubernetes version's constructor is a %T: main.go has to support it\n", constructor)
		os.Exit(2)
		return nil
	}
}

func main() {
	name := filepath.Base(os.Args[0])
	switch name {
	case "kubeadm":
		if err := kubeadm.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	case "etcd":
		etcdmain.Main(os.Args)
		return
	}
	constructor, known := applets[name]
	if !known {
		fmt.Fprintf(os.Stderr, "kube: called as %q, which is not a component: link it to a component's name\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(command(constructor)))
}
