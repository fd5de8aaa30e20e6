// Debian packages, fetched through the machine's own apt configuration into a directory of the lab.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace outboard::lab {

/// One version of a package in one suite.
struct PackageVersion {
    std::string name;
    std::string version;
    std::string suite;  ///< "bookworm-backports"
};

/// A private apt directory: the mirror, the keyring and the apt.conf.d of the machine, with the suites the
/// lab needs. apt checks the signatures. Nothing outside `directory` is written, no root is needed. The
/// caller holds a PartsLock.
class AptArchive {
  public:
    /// Takes `directory` (created when needed) without reading or fetching anything.
    explicit AptArchive(std::filesystem::path directory);

    /// The suites, the oldest first.
    static const std::vector<std::string>& suites();

    /// The versions of all packages whose names match an extended regular expression. Fetches the package
    /// lists when there are none, or when nothing matches and they are older than a day. Throws Error.
    std::vector<PackageVersion> find(const std::string& name_pattern);

    /// Fetches a package and unpacks it (no scripts are run) into a directory that is kept, which is
    /// returned. Throws Error.
    std::filesystem::path unpack(const PackageVersion& package);

    /// The newest version of package `name` in `suite`, fetched and unpacked. Throws Error.
    std::filesystem::path unpack(const std::string& name, const std::string& suite);

    /// Fetches `name` of `suite` with all packages it needs that this machine does not have, and unpacks them
    /// together into one directory that is kept, which is returned. Throws Error.
    std::filesystem::path unpack_with_dependencies(const std::string& name, const std::string& suite);

    /// Fetches the source package of `name` in `suite` and unpacks the upstream archive into `target`. Throws
    /// Error.
    void unpack_source(const std::string& name, const std::string& suite,
                       const std::filesystem::path& target);

  private:
    void configure();
    void update();
    PackageVersion version_in(const std::string& name, const std::string& suite);
    bool lists_are_older_than_a_day() const;
    std::string run(std::vector<std::string> argv, const std::string& action, const std::string& subject,
                    const std::filesystem::path& working_directory = {}) const;

    std::filesystem::path directory_;
    bool configured_ = false;
    bool updated_ = false;
};

/// What the machine's apt knows about its Debian source.
struct DebianSource {
    std::string uri;      ///< "http://MIRROR/debian/"
    std::string keyring;  ///< path of the keyring; empty: apt's trusted keys
};

/// Chooses the Debian source among lines "ORIGIN|RELEASE|COMPONENT|URI|SOURCESENTRY" of `apt-get
/// indextargets`; `uri` is empty when there is none.
DebianSource choose_debian_source(const std::string& index_targets);

}  // namespace outboard::lab
