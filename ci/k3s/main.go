// Command k3s stands in for k3s where its image is not available, to test tlsboot's k3s provider. It accepts the
// arguments of `k3s server --disable-agent`, creates the same CAs and files at the same paths, issues certificates to
// agents, and runs Kubernetes' own kube-apiserver and kube-controller-manager with the flags that k3s gives them. It is
// not k3s: what passes here says nothing about k3s. Written from k3s' documentation and the behavior of its
// pkg/daemons/control.
//
// K3S_STAND_IN_FAULT names one fault to introduce, for tests of the tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// values is a flag that can be given several times.
type values []string

func (v *values) String() string         { return strings.Join(*v, " ") }
func (v *values) Set(value string) error { *v = append(*v, value); return nil }

// options are the known flags of `k3s server`; any other flag is rejected, as k3s rejects unknown flags.
type options struct {
	bindAddress, nodeIP, dataDir, kubeconfig string
	port, verbosity                          int
	apiServer, controllerManager             values
}

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	switch {
	case len(os.Args) == 2 && os.Args[1] == "--version":
		version()
	case len(os.Args) > 1 && os.Args[1] == "server":
		if err := serve(parse(os.Args[2:])); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatalf("this stand-in for k3s only supports `server` and `--version`, not %q", os.Args[1:])
	}
}

func version() {
	output, err := exec.Command("/bin/kube-apiserver", "--version").Output()
	if err != nil {
		log.Fatal(err)
	}
	kubernetes := strings.TrimSpace(strings.TrimPrefix(string(output), "Kubernetes "))
	fmt.Printf("k3s version %s+k3s0 (stand-in)\ngo version %s\n", kubernetes, runtime.Version())
}

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	flags.StringVar(&o.bindAddress, "bind-address", "0.0.0.0", "")
	flags.StringVar(&o.nodeIP, "node-ip", "", "")
	flags.StringVar(&o.dataDir, "data-dir", "/var/lib/rancher/k3s", "")
	flags.StringVar(&o.kubeconfig, "write-kubeconfig", "/etc/rancher/k3s/k3s.yaml", "")
	flags.IntVar(&o.port, "https-listen-port", 6443, "")
	flags.IntVar(&o.verbosity, "v", 0, "")
	flags.Var(&o.apiServer, "kube-apiserver-arg", "")
	flags.Var(&o.controllerManager, "kube-controller-manager-arg", "")
	for _, name := range []string{"disable", "flannel-backend", "egress-selector-mode"} {
		flags.String(name, "", "")
	}
	agent := flags.Bool("disable-agent", false, "")
	for _, name := range []string{"scheduler", "cloud-controller", "kube-proxy", "network-policy", "helm-controller"} {
		flags.Bool("disable-"+name, false, "")
	}
	_ = flags.Parse(args)
	if !*agent {
		log.Fatal("this stand-in for k3s has no agent: --disable-agent")
	}
	return o
}

func serve(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	data := filepath.Join(o.dataDir, "server")
	for _, folder := range []string{"tls", "cred", "db"} {
		if err := os.MkdirAll(filepath.Join(data, folder), 0o700); err != nil {
			return err
		}
	}
	pki := files{filepath.Join(data, "tls")}
	if err := pki.make(names(o.nodeIP)); err != nil {
		return err
	}
	pass, err := tokens(data, pki)
	if err != nil {
		return err
	}
	controller := filepath.Join(data, "cred", "controller.kubeconfig")
	inside := fmt.Sprintf("https://127.0.0.1:%d", o.port+1)
	if err := pki.kubeconfig(controller, inside, "client-controller"); err != nil {
		return err
	}
	if err := pki.kubeconfig(o.kubeconfig, fmt.Sprintf("https://127.0.0.1:%d", o.port), "client-admin"); err != nil {
		return err
	}

	run(ctx, end, "etcd", etcd(data))
	run(ctx, end, "kube-apiserver", arguments(apiServer(o, data, pki), o.apiServer))
	go func() {
		// As k3s waits for it.
		if pki.ready(ctx, inside+"/readyz") {
			run(ctx, end, "kube-controller-manager", arguments(controllerManager(o, pki, controller), o.controllerManager))
		}
	}()
	supervisor := &supervisor{pki: pki, pass: pass, passwords: filepath.Join(data, "cred", "node-passwd")}
	go func() { end(supervisor.listen(net.JoinHostPort(o.bindAddress, strconv.Itoa(o.port)), o.port+1)) }()
	<-ctx.Done()
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

// etcd replaces k3s' kine and SQLite, also on a Unix socket.
func etcd(data string) []string {
	client, peer := "unix://"+data+"/kine.sock", "unix://"+data+"/peer.sock"
	return arguments(map[string]string{
		"name": "k3s", "data-dir": data + "/db/etcd", "unsafe-no-fsync": "true",
		"listen-client-urls": client, "advertise-client-urls": client,
		"listen-peer-urls": peer, "initial-advertise-peer-urls": peer, "initial-cluster": "k3s=" + peer,
		"log-level": "warn",
	}, nil)
}

func apiServer(o options, data string, pki files) map[string]string {
	return map[string]string{
		"etcd-servers":                       "unix://" + data + "/kine.sock",
		"allow-privileged":                   "true",
		"enable-bootstrap-token-auth":        "true",
		"authorization-mode":                 "Node,RBAC",
		"anonymous-auth":                     "false",
		"service-account-signing-key-file":   pki.path("service.current.key"),
		"service-account-key-file":           pki.path("service.key"),
		"service-account-issuer":             "https://kubernetes.default.svc.cluster.local",
		"api-audiences":                      "https://kubernetes.default.svc.cluster.local,k3s",
		"service-cluster-ip-range":           "10.43.0.0/16",
		"service-node-port-range":            "30000-32767",
		"advertise-address":                  o.nodeIP,
		"secure-port":                        strconv.Itoa(o.port + 1),
		"bind-address":                       "127.0.0.1",
		"tls-cert-file":                      pki.path("serving-kube-apiserver.crt"),
		"tls-private-key-file":               pki.path("serving-kube-apiserver.key"),
		"kubelet-certificate-authority":      pki.path("server-ca.crt"),
		"kubelet-client-certificate":         pki.path("client-kube-apiserver.crt"),
		"kubelet-client-key":                 pki.path("client-kube-apiserver.key"),
		"requestheader-client-ca-file":       pki.path("request-header-ca.crt"),
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"proxy-client-cert-file":             pki.path("client-auth-proxy.crt"),
		"proxy-client-key-file":              pki.path("client-auth-proxy.key"),
		"client-ca-file":                     pki.path("client-ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"profiling":                          "false",
		"v":                                  strconv.Itoa(o.verbosity),
	}
}

func controllerManager(o options, pki files, kubeconfig string) map[string]string {
	flags := map[string]string{
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       kubeconfig,
		"authorization-kubeconfig":         kubeconfig,
		"authentication-kubeconfig":        kubeconfig,
		"service-account-private-key-file": pki.path("service.current.key"),
		"allocate-node-cidrs":              "true",
		"service-cluster-ip-range":         "10.43.0.0/16",
		"cluster-cidr":                     "10.42.0.0/16",
		"root-ca-file":                     pki.path("server-ca.crt"),
		"profiling":                        "false",
		"bind-address":                     "127.0.0.1",
		"secure-port":                      "10257",
		"use-service-account-credentials":  "true",
		"v":                                strconv.Itoa(o.verbosity),
	}
	signers := map[string]string{"kube-apiserver-client": "client", "kubelet-client": "client", "kubelet-serving": "server", "legacy-unknown": "server"}
	for signer, ca := range signers {
		flags["cluster-signing-"+signer+"-cert-file"] = pki.path(ca + "-ca.nochain.crt")
		flags["cluster-signing-"+signer+"-key-file"] = pki.path(ca + "-ca.key")
	}
	return flags
}

// arguments are k3s' own flags, overridden and extended by those of the command line.
func arguments(own map[string]string, extra []string) []string {
	var args []string
	for _, arg := range extra {
		if fault == "own-duration" && strings.Contains(arg, "cluster-signing-duration") {
			continue
		}
		name, value, found := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !found {
			value = "true"
		}
		delete(own, name)
		args = append(args, "--"+name+"="+value)
	}
	for name, value := range own {
		args = append(args, "--"+name+"="+value)
	}
	sort.Strings(args)
	return args
}

// run starts a component; if it exits, everything exits.
func run(ctx context.Context, end context.CancelCauseFunc, name string, args []string) {
	log.Printf("Running %s %s", name, strings.Join(args, " "))
	command := exec.CommandContext(ctx, "/bin/"+name, args...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	go func() { end(fmt.Errorf("%s has exited: %v", name, command.Run())) }()
}
