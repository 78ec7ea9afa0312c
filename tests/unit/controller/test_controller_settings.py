import pytest

from controller.settings import Settings, SettingsError, environment_names, parse_settings


def test_defaults_are_those_of_the_design():
    settings = parse_settings({})
    assert (settings.ops_port, settings.mirror_interval_s, settings.mirror_delete_after_s) == (8080, 2, 600)
    assert (settings.mirrored_models, settings.mirror_prompt_type) == (("np-dms-ocr",), "ocr_extraction")
    assert (settings.mirrors, settings.cluster_wide, settings.isolation_interval_s) == (False, False, 240)


def test_names_are_those_of_the_environment():
    assert len(environment_names()) == len(Settings.model_fields)
    settings = parse_settings({"WATCH_NAMESPACE": "*", "MIRROR_MODELS": "a, b,", "SIDECAR_API_PORT": "1"})
    assert (settings.cluster_wide, settings.mirrored_models, settings.sidecar_api_port) == (True, ("a", "b"), 1)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"CONTROLLER_OPS_PROT": "1"}, "CONTROLLER_OPS_PROT is not a setting; the nearest one is CONTROLLER_OPS_PORT"),
        ({"MIRROR_INTERVAL": "1"}, "MIRROR_INTERVAL is not a setting; the nearest one is MIRROR_INTERVAL_SECONDS"),
        ({"CONTROLLER_OPS_PORT": "http"}, "CONTROLLER_OPS_PORT is http: input should be a whole number"),
        ({"CONTROLLER_RESYNC_SECONDS": "0"}, "CONTROLLER_RESYNC_SECONDS is 0: input should be greater than 0"),
        ({"WATCH_NAMESPACE": "Ocr"}, "WATCH_NAMESPACE is Ocr: the name of one namespace, or `*`, is accepted"),
        ({"OCR_AUTH_MODE": "none"}, "OCR_AUTH_MODE is none: "),
        ({"DATABASE_URL": "postgresql://u:secret@h/d"}, "DATABASE_URL is (hidden): a URL that begins with "),
    ],
)
def test_a_mistake_is_told_in_one_sentence(environ, sentence):
    with pytest.raises(SettingsError) as refused:
        parse_settings(environ)
    assert str(refused.value).startswith(sentence)
    assert "secret" not in str(refused.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsError) as refused:
        parse_settings(dict.fromkeys(("CONTROLLER_RESYNC_SECONDS", "CONTROLLER_WATCH_SECONDS"), "0"))
    assert str(refused.value).count("CONTROLLER_") == 2


def test_a_link_in_the_place_of_a_port_says_what_happened():
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        parse_settings({"CONTROLLER_OPS_PORT": "tcp://10.0.0.1:8765"})


@pytest.mark.parametrize("name", ["SIDECAR_PORT", "CONTROLLER_PORT"])
def test_a_port_that_is_no_link_is_a_mistake(name):
    with pytest.raises(SettingsError, match="is not a setting"):
        parse_settings({name: "8765"})


@pytest.mark.parametrize(
    "name",
    ["SIDECAR_SERVICE_HOST", "SIDECAR_PORT", "SIDECAR_PORT_8765_TCP_ADDR", "CONTROLLER_SERVICE_PORT_HTTP", "OCR_PORT"],
)
def test_service_links_of_kubernetes_are_no_mistakes(name):
    assert parse_settings({name: "tcp://10.0.0.1:8765"}) == parse_settings({})


def test_the_database_url_is_not_shown():
    settings = parse_settings({"DATABASE_URL": "mysql+aiomysql://u:secret@h/d"})
    assert settings.mirrors
    assert "secret" not in repr(settings)
