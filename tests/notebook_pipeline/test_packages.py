"""Whether what is installed is what the lock tells."""

from importlib.metadata import version

from notebook_pipeline.system.packages import engine_digest, package_differences


def differences(folder, text):
    (folder / "requirements.lock").write_text(text, encoding="utf-8")
    return package_differences(folder)


def test_the_packages_of_this_environment_agree_with_themselves(tmp_path):
    numpy = version("numpy")
    assert differences(tmp_path, f"numpy=={numpy} \\\n    --hash=sha256:00\n# a comment\n") == []


def test_another_version_a_missing_package_and_one_of_another_system(tmp_path):
    text = (
        "numpy==1.0 \\\n    --hash=sha256:00\nno-such-package==2 \\\n    --hash=sha256:00\nothers\n"
        "appnope==1.0.0 ; sys_platform == 'no' \\\n    --hash=sha256:00\n"
    )
    assert differences(tmp_path, text) == [
        f"numpy {version('numpy')} instead of 1.0",
        "no-such-package missing instead of 2",
        "others missing instead of any version",
    ]


def test_the_engine_has_one_digest():
    assert engine_digest() == engine_digest()
    assert len(engine_digest()) == 64
