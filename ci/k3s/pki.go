package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	day   = 24 * time.Hour
	year  = 365 * day
	renew = 120 * day
)

// fault is the one fault to introduce.
var fault = os.Getenv("K3S_STAND_IN_FAULT")

// files are k3s' keys and certificates, in the folder server/tls of its state.
type files struct{ folder string }

func (f files) path(name string) string { return filepath.Join(f.folder, name) }

type alternatives struct {
	dns []string
	ips []net.IP
}

func names(nodeIP string) alternatives {
	host, _ := os.Hostname()
	names := alternatives{
		dns: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", host},
		ips: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 43, 0, 1)},
	}
	if ip := net.ParseIP(nodeIP); ip != nil {
		names.ips = append(names.ips, ip)
	}
	return names
}

// make creates what does not exist yet, and renews what expires within 120 days, as k3s does at each start.
func (f files) make(server alternatives) error {
	for _, name := range []string{"client", "server", "request-header"} {
		if err := f.authority(name); err != nil {
			return err
		}
	}
	clients := []struct {
		file, user string
		groups     []string
	}{
		{"client-admin", "system:admin", []string{"system:masters"}},
		{"client-supervisor", "system:k3s-supervisor", []string{"system:masters"}},
		{"client-controller", "system:kube-controller-manager", nil},
		{"client-scheduler", "system:kube-scheduler", nil},
		{"client-kube-apiserver", "system:apiserver", []string{"system:masters"}},
		{"client-kube-proxy", "system:kube-proxy", nil},
		{"client-k3s-controller", "system:k3s-controller", nil},
		{"client-k3s-cloud-controller", "k3s-cloud-controller-manager", nil},
	}
	for _, client := range clients {
		if err := f.leaf(client.file, "client", leafOf(client.user, client.groups, x509.ExtKeyUsageClientAuth)); err != nil {
			return err
		}
	}
	if err := f.leaf("client-auth-proxy", "request-header", leafOf("system:auth-proxy", nil, x509.ExtKeyUsageClientAuth)); err != nil {
		return err
	}
	serving := leafOf("kube-apiserver", nil, x509.ExtKeyUsageServerAuth)
	serving.DNSNames, serving.IPAddresses = server.dns, server.ips
	if err := f.leaf("serving-kube-apiserver", "server", serving); err != nil {
		return err
	}
	for _, key := range []string{"client-kubelet.key", "serving-kubelet.key", "service.key"} {
		if _, err := f.key(key); err != nil {
			return err
		}
	}
	service, err := os.ReadFile(f.path("service.key"))
	if err != nil {
		return err
	}
	return os.WriteFile(f.path("service.current.key"), service, 0o600)
}

func (f files) authority(name string) error {
	certificate, ca := f.path(name+"-ca.crt"), name
	if fault == "one-ca" && name == "server" {
		ca = "client"
	}
	if _, err := os.Stat(certificate); errors.Is(err, fs.ErrNotExist) {
		if ca != name {
			if err := os.Link(f.path(ca+"-ca.key"), f.path(name+"-ca.key")); err != nil {
				return err
			}
			if err := os.Link(f.path(ca+"-ca.crt"), certificate); err != nil {
				return err
			}
		} else if err := f.selfSigned(name); err != nil {
			return err
		}
	}
	bundle, err := os.ReadFile(certificate)
	if err != nil {
		return err
	}
	first, _ := pem.Decode(bundle)
	return os.WriteFile(f.path(name+"-ca.nochain.crt"), pem.EncodeToMemory(first), 0o644)
}

func (f files) selfSigned(name string) error {
	key, err := f.key(name + "-ca.key")
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("k3s-%s-ca@%d", name, now.Unix())},
		NotBefore:             now.UTC(),
		NotAfter:              now.Add(10 * year).UTC(),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	return f.write(name+"-ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func leafOf(user string, groups []string, usage x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

func (f files) leaf(name, ca string, template *x509.Certificate) error {
	if old, err := f.certificate(name + ".crt"); err == nil && (time.Until(old.NotAfter) > renew || fault == "no-renewal") {
		return nil
	}
	key, err := f.key(name + ".key")
	if err != nil {
		return err
	}
	chain, err := f.sign(ca, template, key.Public())
	if err != nil {
		return err
	}
	log.Printf("certificate %s signed", name)
	return f.write(name+".crt", chain, 0o644)
}

// sign returns the certificate and its CA in PEM.
func (f files) sign(ca string, template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	issuer, err := f.certificate(ca + "-ca.crt")
	if err != nil {
		return nil, err
	}
	issuerKey, err := f.key(ca + "-ca.key")
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial()
	template.NotBefore = issuer.NotBefore
	template.NotAfter = time.Now().Add(year).UTC()
	template.KeyUsage = x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key, issuerKey)
	if err != nil {
		return nil, err
	}
	bundle, err := os.ReadFile(f.path(ca + "-ca.crt"))
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), bundle...), err
}

func (f files) certificate(name string) (*x509.Certificate, error) {
	bytes, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(bytes)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", name)
	}
	return x509.ParseCertificate(block.Bytes)
}

// key loads a key, or creates it.
func (f files) key(name string) (*ecdsa.PrivateKey, error) {
	bytes, err := os.ReadFile(f.path(name))
	if err == nil {
		block, _ := pem.Decode(bytes)
		if block == nil {
			return nil, fmt.Errorf("%s is not PEM", name)
		}
		return x509.ParseECPrivateKey(block.Bytes)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, f.write(name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func (f files) write(name string, content []byte, mode fs.FileMode) error {
	return os.WriteFile(f.path(name), content, mode)
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		panic(err)
	}
	return number
}

func (f files) kubeconfig(path, server, client string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: default
  cluster: {server: %q, certificate-authority: %q}
users:
- name: default
  user: {client-certificate: %q, client-key: %q}
contexts:
- name: default
  context: {cluster: default, user: default}
current-context: default
`, server, f.path("server-ca.crt"), f.path(client+".crt"), f.path(client+".key")), 0o600)
}

// ready waits until the API server is ready; false if everything has exited before.
func (f files) ready(ctx context.Context, url string) bool {
	pair, err := tls.LoadX509KeyPair(f.path("client-admin.crt"), f.path("client-admin.key"))
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	bundle, _ := os.ReadFile(f.path("server-ca.crt"))
	roots.AppendCertsFromPEM(bundle)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	for {
		if answer, err := client.Get(url); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tokens creates the secret that servers and agents join with, and its files. It returns the secret.
func tokens(data string, pki files) (string, error) {
	file := filepath.Join(data, "cred", "passwd")
	pass, err := os.ReadFile(file)
	if err != nil {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return "", err
		}
		pass = []byte(hex.EncodeToString(random))
		if err := os.WriteFile(file, pass, 0o600); err != nil {
			return "", err
		}
	}
	ca, err := os.ReadFile(pki.path("server-ca.crt"))
	if err != nil {
		return "", err
	}
	token := fmt.Sprintf("K10%x::server:%s\n", sha256.Sum256(ca), pass)
	if err := os.WriteFile(filepath.Join(data, "token"), []byte(token), 0o600); err != nil {
		return "", err
	}
	for _, name := range []string{"node-token", "agent-token"} {
		link := filepath.Join(data, name)
		if err := os.Symlink("token", link); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return string(pass), nil
}

// nodeOf is the node that a client certificate names, if it is a node's certificate.
func nodeOf(certificate *x509.Certificate) (string, bool) {
	if !slices.Contains(certificate.Subject.Organization, "system:nodes") {
		return "", false
	}
	name, found := strings.CutPrefix(certificate.Subject.CommonName, "system:node:")
	return name, found
}
