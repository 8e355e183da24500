// Command kube is Kubernetes' API server, controller manager and kubelet in one executable.
//
// It acts as the component by whose name it is called, so the store links kube-apiserver, kube-controller-manager and
// kubelet to it. One executable contains what the three have in common only once: a third of the build time and size.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var applets = map[string]interface{}{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kubelet":                 kubelet.NewKubeletCommand,
}

// command calls a component's constructor, whose signature depends on the Kubernetes version: NewKubeletCommand takes a
// context since 1.34. (The Go version of 1.23 has no `any` yet.)
func command(constructor interface{}) *cobra.Command {
	switch constructor := constructor.(type) {
	case func() *cobra.Command:
		return constructor()
	case func(context.Context) *cobra.Command:
		return constructor(context.Background())
	default:
		fmt.Fprintf(os.Stderr, "kube: this Kubernetes version's constructor is a %T: main.go has to support it\n", constructor)
		os.Exit(2)
		return nil
	}
}

func main() {
	name := filepath.Base(os.Args[0])
	constructor, known := applets[name]
	if !known {
		fmt.Fprintf(os.Stderr, "kube: called as %q, which is not a component of this version\n", name)
		os.Exit(2)
	}
	os.Exit(run(command(constructor)))
}
